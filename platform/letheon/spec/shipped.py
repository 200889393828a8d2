"""The sweep files that ship, and how a file is found by path or by name. Loads nothing: `--help` lists them."""

from __future__ import annotations

from pathlib import Path

from letheon.common.errors import SweepFileNotFound, did_you_mean

_SOME_FILES = 12


def space_folder() -> Path:
    """Where the sweep files that ship lie: in the package, or (a checkout without links) in the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent.parent / "search_spaces"


def spaces() -> dict[str, Path]:
    """The shipped sweep files by name."""
    return {path.stem: path for path in sorted(space_folder().glob("*.yaml"))}


def find_sweep_file(space: str | Path) -> Path:
    """A path as it is, or the shipped file of that name. Raises SweepFileNotFound naming the nearest."""
    path = Path(space)
    if path.is_file():
        return path
    shipped = spaces()
    name = str(space)
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        files = ", ".join(sorted(file.name for file in path.glob("*.yaml"))[:_SOME_FILES])
        fix = f"name one of its sweep files: {files}" if files else "name a sweep file"
        raise SweepFileNotFound([f"{name}: is a folder, not a sweep file; {fix}"])
    raise SweepFileNotFound(
        [f"{name}: no such file, and no shipped sweep of this name; {did_you_mean(path.stem, shipped)}"]
    )
