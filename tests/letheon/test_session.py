"""What a local Ray leaves behind, and what of others is taken away."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from letheon.closed import TOKEN, closed
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


def test_a_closed_session_has_a_token_of_its_own_and_leaves_the_environment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import ray_constants

    monkeypatch.setenv("RAY_AUTH_TOKEN", "that of a cluster")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    forgotten: list[str] = []  # really forgotten, the Ray that other tests of this process share would be lost
    monkeypatch.setattr("letheon.closed.forget_token", lambda: forgotten.append(os.environ["RAY_AUTH_TOKEN_PATH"]))
    before, tokens = dict(os.environ), set()
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        with closed(folder):
            assert "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ
            assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(folder / TOKEN)
            assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
            assert not ray_constants.ENABLE_RAY_CLUSTER
        assert stat.S_IMODE((folder / TOKEN).stat().st_mode) == 0o600
        tokens.add((folder / TOKEN).read_text())
        assert dict(os.environ) == before
    assert ray_constants.ENABLE_RAY_CLUSTER and len(tokens) == 2
    assert forgotten == [str(tmp_path / name / TOKEN) for name in ("first", "second")]
