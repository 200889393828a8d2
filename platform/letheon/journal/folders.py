"""The sweep folders under a root."""

from __future__ import annotations

from pathlib import Path

from letheon.common.paths import JOURNAL, SPEC, last_change


def local_folders(root: Path) -> list[Path]:
    """Folders of sweeps under the root, the latest change first."""
    folders = {path.parent for name in (SPEC, JOURNAL) for path in (root / "sweeps").glob(f"*/{name}")}
    return sorted(folders, key=last_change, reverse=True)
