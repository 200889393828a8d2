"""Any path, query and header: the dashboard answers with a status that it knows, and with nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from letheon.dashboard.library import Library
from letheon.dashboard.recorded_sweeps import RecordedSweeps
from letheon.dashboard.serve import LOCAL_NAMES
from letheon.dashboard.server import create_app
from letheon.tracking.browse import Browser
from tests.letheon.dashboard.support import write_sweep
from tests.letheon.tracking_support import story

SECRET = "canary-outside-of-the-root"
PIECES = ["api", "sweeps", "done", "trials", "t000", "stamp", "importance", "static", "app.js", "vendor", "..", ".", ""]
PIECES += ["%2e%2e", "..%2f", "%00", "%5c..", "etc", "passwd", "outside", "sweeps:done", "mlflow", "-1", "NaN", "%ff"]
OK = {200, 304, 400, 404, 405}

text = st.text(max_size=12).map(lambda text: quote(text, safe="", errors="ignore"))
pieces = st.one_of(st.sampled_from(PIECES), text)
paths = st.lists(pieces, max_size=7).map(lambda parts: "/" + "/".join(parts).lstrip("/"))  # "//" begins a host


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("paths")
    (folder / "outside").write_text(SECRET)
    root = folder / "root"
    write_sweep(root, "done", story())
    app = create_app(Library(root, RecordedSweeps(Browser(root))), None, LOCAL_NAMES)
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        yield client


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=paths, since=st.one_of(st.none(), st.text(max_size=8), st.integers().map(str)))
def test_any_path(at: TestClient, path: str, since: str | None) -> None:
    answer = at.get(path, params=None if since is None else {"since": since})
    assert answer.status_code in OK or (
        answer.status_code == 307 and answer.headers["location"].startswith("http://localhost/")
    )
    assert SECRET not in answer.text and "root:x:0" not in answer.text and "Traceback" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"] or answer.status_code == 400
