"""Temporary folders are removed with their block; those of killed processes when another process starts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from letheon.cluster.session import DISCOVERY
from letheon.common.scratch import PREFIX, remove_stale, scratch


@pytest.fixture
def dead() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_folders_and_links_of_dead_processes_are_removed(
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
    remove_stale()
    mine = f"{PREFIX}{os.getpid()}-abc"
    assert {path.name for path in tmp_path.iterdir()} == {"kept", f"{PREFIX}tracking-abc", mine, f"{mine}.json"}
    assert (tmp_path / f"{mine}.json").read_text() == "[]"


def test_a_folder_is_removed_with_its_block_even_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), scratch("put") as folder:
        (folder / "file").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        remove_stale()
        assert (folder / "file").exists(), "its process is alive"
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, signal
from letheon.common.scratch import scratch
with scratch("verify") as folder:
    (folder / "file").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    [left] = tmp_path.iterdir()
    assert (left / "file").exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    remove_stale()
    assert not left.exists()
