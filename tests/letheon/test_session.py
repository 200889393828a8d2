"""What a local Ray leaves behind, and what of others is taken away."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from letheon.session import DISCOVERY, PREFIX, _remove_stale_folders


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folders_and_links_of_dead_drivers_go_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = tmp_path / "kept"
    kept.mkdir()
    for pid in (dead, os.getpid()):
        folder = tmp_path / f"{PREFIX}{pid}-abc"
        folder.mkdir()
        (folder / DISCOVERY).write_text("[]")
        folder.with_suffix(".json").symlink_to(folder / DISCOVERY)
    (tmp_path / f"{PREFIX}{dead}-dangling.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / f"{PREFIX}{dead}-elsewhere").symlink_to(kept)
    (tmp_path / f"{PREFIX}tracking-abc").mkdir()
    _remove_stale_folders()
    mine = f"{PREFIX}{os.getpid()}-abc"
    assert {path.name for path in tmp_path.iterdir()} == {"kept", f"{PREFIX}tracking-abc", mine, f"{mine}.json"}
    assert (tmp_path / f"{mine}.json").read_text() == "[]"
