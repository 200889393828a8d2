"""A local Ray's token and environment."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from letheon.cluster.security import TOKEN, loopback_only
from letheon.cluster.session import _keep_sigterm_handler
from letheon.common.stop_request import StopRequest


def test_a_private_session_uses_the_token_of_its_process_and_restores_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a cluster's token")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    before, tokens = dict(os.environ), set()
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        with loopback_only(folder):
            assert "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ
            assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(folder / TOKEN)
            assert os.environ["RAY_TMPDIR"] == str(folder)
            assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
        assert stat.S_IMODE((folder / TOKEN).stat().st_mode) == 0o600
        tokens.add((folder / TOKEN).read_text())
        assert dict(os.environ) == before
    assert len(tokens) == 1, "Ray keeps the first token that a process has read"


def test_sigterm_during_ray_init_sets_the_stop_request() -> None:
    """Ray's own handler, which ends the process, is installed while `ray.init` runs."""
    stop = StopRequest()
    with stop.listening():
        ours = signal.getsignal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), _keep_sigterm_handler():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested and signal.getsignal(signal.SIGTERM) == ours
