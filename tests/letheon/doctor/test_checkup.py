"""The whole checkup with a real local Ray, and what it says about a dashboard without a token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from letheon.doctor.checkup import _check_token
from tests.letheon.small_sweep import letheon

CHECKS = ["devices", "tracking", "ray", "token", "versions", "ports", "clocks", "storage", "all-reduce"]


@pytest.fixture
def dashboard(request: pytest.FixtureRequest) -> Iterator[str]:
    """`host:port` of a server that answers every request with the status of the parameter."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("dashboard", "state"), [(401, "ok"), (403, "ok"), (200, "failed")], indirect=["dashboard"])
def test_a_dashboard_must_require_a_token(dashboard: str, state: str) -> None:
    assert _check_token(dashboard).state == state


@pytest.mark.parametrize("url", [None, "127.0.0.1:9"])
def test_a_missing_or_silent_dashboard_is_a_warning(url: str | None) -> None:
    assert _check_token(url).state == "warning"


@pytest.mark.slow
def test_the_checkup_of_this_machine_reports_every_check_and_leaves_no_folder(tmp_path: Path) -> None:
    done = letheon("doctor", "--json", root=tmp_path)
    findings = json.loads(done.stdout)
    states = {finding["check"]: finding["state"] for finding in findings}
    assert [check for check in CHECKS if check not in states] == []
    assert [one for one in findings if one["state"] == "failed" and one["check"] != "devices"] == [], done.stderr
    assert all(finding["fix"] for finding in findings if finding["state"] in ("warning", "failed"))
    assert not list(tmp_path.glob(".doctor-*"))
