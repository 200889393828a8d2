"""The dashboard's questions to a real Prometheus, which finds a sweep's numbers as the example configuration says."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from letheon.live.gauges import GAUGES, readings
from letheon.live.view import LiveView
from letheon.scratch import PREFIX
from tests.letheon.live.test_grafana import FOLDER, RAY_PREFIX, dashboard, filled
from tests.letheon.live.views import STATES

SECONDS = 60.0

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus (Debian: prometheus)")


def test_every_panel_has_data(tmp_path: Path) -> None:
    with endpoint(STATES["hours"]) as address:
        discovery = [{"labels": {"job": "ray"}, "targets": [address]}]
        (tmp_path / f"{PREFIX}1-abc.json").write_text(json.dumps(discovery))
        with prometheus(tmp_path) as ask:
            asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
            deadline = time.monotonic() + SECONDS
            while unanswered := [one for one in asked if not ask(filled(one))]:
                assert time.monotonic() < deadline, unanswered
                time.sleep(0.2)
            [state] = ask(filled(asked[0]))
            assert state["metric"] == {"state": "running"}
            assert not ask(filled(asked[0], "another"))


@contextmanager
def endpoint(view: LiveView) -> Iterator[str]:
    """The view's numbers under the names that Ray gives them; yields the address."""
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(RAY_PREFIX + name, one.about, one.tag_keys, registry=registry) for name, one in GAUGES.items()
    }
    for reading in readings(view):
        gauges[reading.gauge].labels(**reading.tags).set(reading.value)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def prometheus(folder: Path) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """A server on a free port with the example's configuration, but for where sweeps' files lie and how often it looks;
    yields what answers a query with its result."""
    config = (FOLDER / "prometheus.yml").read_text().replace(f"/tmp/{PREFIX}", f"{folder}/{PREFIX}")
    (folder / "prometheus.yml").write_text(config.replace("interval: 10s", "interval: 1s"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--config.file=prometheus.yml", f"--web.listen-address={address}", "--storage.tsdb.path=data")
    server = subprocess.Popen(["prometheus", *options], cwd=folder, stderr=(folder / "log").open("wb"))

    def ask(query: str) -> list[dict[str, Any]]:
        url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return result
        except OSError:  # it is not up yet
            return []

    try:
        yield ask
    finally:
        server.terminate()
        server.wait(30)
