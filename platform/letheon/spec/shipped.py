"""The sweep files that ship with Letheon, and how a file is found by path or name. Light: `--help` imports it."""

from __future__ import annotations

from pathlib import Path

from letheon.common.errors import SweepFileNotFound, did_you_mean

_MAX_LISTED = 12


def shipped_folder() -> Path:
    """Folder of the shipped sweep files: in the package or, in a checkout without symbolic links, in the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent.parent / "search_spaces"


def shipped_sweeps() -> dict[str, Path]:
    """The shipped sweep files by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


def find_sweep_file(sweep: str | Path) -> Path:
    """The file at this path, else the shipped file of this name. Raises SweepFileNotFound with the closest name."""
    path = Path(sweep)
    if path.is_file():
        return path
    shipped, name = shipped_sweeps(), str(sweep)
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        files = ", ".join(sorted(file.name for file in path.glob("*.yaml"))[:_MAX_LISTED])
        fix = f"name one of its sweep files: {files}" if files else "name a sweep file"
        raise SweepFileNotFound([f"{name}: is a folder, not a sweep file; {fix}"])
    raise SweepFileNotFound(
        [f"{name}: no such file, and no shipped sweep of this name; {did_you_mean(path.stem, shipped)}"]
    )
