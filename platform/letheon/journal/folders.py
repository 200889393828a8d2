"""The sweep folders under a root."""

from __future__ import annotations

from pathlib import Path

from letheon.common.paths import JOURNAL, SPEC


def local_folders(root: Path) -> list[Path]:
    """Folders of sweeps under the root, the latest change of a journal or sweep file first."""
    changed: dict[Path, float] = {}
    for file in (path for name in (SPEC, JOURNAL) for path in (root / "sweeps").glob(f"*/{name}")):
        changed[file.parent] = max(changed.get(file.parent, 0.0), file.stat().st_mtime)
    return sorted(changed, key=lambda folder: changed[folder], reverse=True)
