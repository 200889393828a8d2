"""The dashboard over HTTP: access, routes, and security headers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from letheon.dashboard.app import POLL_SECONDS, create_app
from letheon.dashboard.catalog import Catalog
from letheon.dashboard.recorded import RecordedSweeps
from letheon.dashboard.serve import LOCAL_NAMES, TOKEN_VARIABLE, CannotServe, is_local, serve
from letheon.journal import SweepLock
from letheon.journal.activity import Activity, Work, write_activity
from letheon.tracking.reader.browse import Browser
from tests.letheon.dashboard.support import add_rows, write_sweep
from tests.letheon.small_sweep import command
from tests.letheon.tracking.tracking_support import story

TOKEN = "0123456789abcdef0123"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_sweep(tmp_path, "done", story())
    return tmp_path


def client(root: Path, token: str | None = None) -> TestClient:
    catalog = Catalog(root, RecordedSweeps(Browser(root)))
    app = create_app(catalog, token, LOCAL_NAMES)
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


def test_pages_and_data_are_served(root: Path) -> None:
    at = client(root)
    assert "<title>Letheon" in at.get("/").text
    assert at.get("/static/app.js").headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert [one["name"] for one in at.get("/api/sweeps").json()["sweeps"]] == ["done"]
    view = at.get("/api/sweeps/done").json()
    assert len(view["trials"]) == 4
    assert [one["id"] for one in at.get("/api/sweeps/done?since=14").json()["trials"]] == [
        one["id"] for one in view["trials"] if one["seq"] > 14
    ]
    assert at.get("/api/sweeps/done/importance").json() == {}
    assert at.get("/api/sweeps/done/trials/t000").json()["id"] == "t000"


def test_the_stamp_changes_with_the_sweep(root: Path) -> None:
    at = client(root)
    first = at.get("/api/sweeps/done/stamp").json()
    assert first["pause"] >= POLL_SECONDS and at.get("/api/sweeps/done/stamp").json()["stamp"] == first["stamp"]
    add_rows(root / "sweeps" / "done", [{**story()[-1], "seq": len(story()) + 1}])
    assert at.get("/api/sweeps/done/stamp").json()["stamp"] != first["stamp"]


def test_polling_tells_what_a_live_sweep_does_without_a_new_stamp(root: Path) -> None:
    at, folder = client(root), root / "sweeps" / "done"
    assert at.get("/api/sweeps/done/stamp").json()["activity"]["work"] == []
    with SweepLock(folder):
        before = at.get("/api/sweeps/done/stamp").json()["stamp"]
        work = Work("t001", "training", 25.0, 1.0, "t001", 3, 12, 40)
        write_activity(folder, Activity(work=[work], time=time.time()))
        now = at.get("/api/sweeps/done/stamp").json()
    assert now["stamp"] == before
    assert [(one["job"], one["step"], one["of"]) for one in now["activity"]["work"]] == [("t001", 12, 40)]
    assert at.get("/api/sweeps/done/stamp").json()["activity"]["work"] == [], "a driver that is gone does nothing"


@pytest.mark.parametrize("path", ["/api/sweeps/nope", "/api/sweeps/done/trials/t9", "/api/sweeps/nope/stamp"])
def test_a_missing_sweep_or_trial_is_one_sentence(path: str, root: Path) -> None:
    answer = client(root).get(path)
    assert answer.status_code == 404 and "error" in answer.json()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_get_is_answered(method: str, root: Path) -> None:
    for path in ("/", "/api/sweeps", "/api/sweeps/done", "/api/sweeps/done/trials/t000"):
        assert client(root).request(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/", "/api/sweeps", "/api/sweeps/nope", "/static/style.css"])
def test_the_headers_forbid_loading_from_elsewhere(path: str, root: Path) -> None:
    headers = client(root).get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src 'self';" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_a_foreign_name_for_this_machine_is_refused(root: Path) -> None:
    at = client(root)
    assert at.get("/api/sweeps", headers={"Host": "evil.example"}).status_code == 400
    assert at.get("/api/sweeps", headers={"Host": "127.0.0.1:8400"}).status_code == 200


def test_without_the_token_nothing_is_shown(root: Path) -> None:
    at = client(root, TOKEN)
    for path in ("/", "/api/sweeps", "/static/app.js", "/api/sweeps/done"):
        assert at.get(path).status_code == 401
        assert at.get(path, headers={"Authorization": f"Bearer {TOKEN[:-1]}"}).status_code == 401
        assert at.get(path, headers=[(b"Cookie", "letheon_token=é".encode())]).status_code == 401
    assert at.get(f"/api/sweeps?token={TOKEN}").status_code == 401  # a token in an address only opens the door


def test_the_token_is_taken_once_and_leaves_the_address(root: Path) -> None:
    at = client(root, TOKEN)
    opened = at.get(f"/?token={TOKEN}")
    assert opened.status_code == 303 and opened.headers["location"] == "/"
    assert "HttpOnly" in opened.headers["set-cookie"] and "samesite=strict" in opened.headers["set-cookie"].lower()
    assert at.get("/api/sweeps").status_code == 200  # by the cookie
    assert client(root, TOKEN).get("/api/sweeps", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client(root, TOKEN).get("/?token=wrong").status_code == 401


@pytest.mark.parametrize(("host", "local"), [("localhost", True), ("127.0.0.1", True), ("127.8.0.1", True)])
@pytest.mark.parametrize(("other", "remote"), [("0.0.0.0", False), ("::", False), ("10.0.0.7", False), ("box", False)])
def test_what_counts_as_this_machine(host: str, local: bool, other: str, remote: bool) -> None:
    assert (is_local(host), is_local(other), is_local("::1")) == (local, remote, True)


def test_a_weak_token_or_a_taken_port_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(CannotServe, match="at least 16"):
        serve(root, "0.0.0.0", 0, print, print)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CannotServe, match="choose another --port"):
            serve(root, "127.0.0.1", taken.getsockname()[1], print, print)


def test_the_command_serves_until_ctrl_c_and_keeps_its_token_to_itself(root: Path) -> None:
    arguments = command("dashboard", "--root", root, "--host", "0.0.0.0", "--port", "0")
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, TOKEN_VARIABLE: TOKEN})
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)/\?token=(\S+)", process.stdout.readline())
        assert found is not None and found[2] == TOKEN
        assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
        asked = Request(f"http://127.0.0.1:{found[1]}/api/sweeps", headers={"Authorization": f"Bearer {TOKEN}"})
        with urlopen(asked, timeout=60) as answer:  # it listens before it says so; the answer comes when it is ready
            assert "done" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()


# ---- any path, query and header: a known status, and nothing from outside

SECRET = "canary-outside-of-the-root"
PIECES = ["api", "sweeps", "done", "trials", "t000", "stamp", "importance", "static", "app.js", "vendor", "..", ".", ""]
PIECES += ["%2e%2e", "..%2f", "%00", "%5c..", "etc", "passwd", "outside", "sweeps:done", "mlflow", "-1", "NaN", "%ff"]
OK = {200, 304, 400, 404, 405}

text = st.text(max_size=12).map(lambda text: quote(text, safe="", errors="ignore"))
pieces = st.one_of(st.sampled_from(PIECES), text)
paths = st.lists(pieces, max_size=7).map(lambda parts: "/" + "/".join(parts).lstrip("/"))  # "//" begins a host


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A dashboard over a root next to a file that must stay unreadable."""
    folder = tmp_path_factory.mktemp("paths")
    (folder / "outside").write_text(SECRET)
    write_sweep(folder / "root", "done", story())
    return client(folder / "root")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=paths, since=st.one_of(st.none(), st.text(max_size=8), st.integers().map(str)))
def test_any_path(at: TestClient, path: str, since: str | None) -> None:
    answer = at.get(path, params=None if since is None else {"since": since})
    assert answer.status_code in OK or (
        answer.status_code == 307 and answer.headers["location"].startswith("http://localhost/")
    )
    assert SECRET not in answer.text and "root:x:0" not in answer.text and "Traceback" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"] or answer.status_code == 400
