"""The same records through a real MLflow server that proxies artifacts: down in mid-sweep, back again, pulled from."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from letheon.checkpoints import Request, VerificationError, pull, read_manifest, verify
from letheon.tracking import Tracker, TrackingError
from letheon.tracking.store import open_client
from tests.letheon.tracking_support import SPEC, front, save_front, story

pytestmark = pytest.mark.timeout(600)  # a server takes 10 s to start, far longer on a busy machine


class Server:
    """`mlflow server` on a port of this machine, over a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                urlopen(f"{self.uri}/health", timeout=2).close()
                return
            except (URLError, OSError):
                time.sleep(0.3)
        raise TimeoutError((self.folder / "log").read_text()[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    one.start()
    yield one
    one.stop()


def test_a_server_that_goes_away_and_comes_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    rows, trials = story(), tmp_path / "trials"
    table = front(rows)
    save_front(trials, table)
    tracker = Tracker(tmp_path, "study", "sweep", SPEC, server.uri)
    tracker.check()
    tracker.sync(rows[:9])
    server.stop()
    with pytest.raises(TrackingError, match="recording failed"):
        tracker.sync(rows[:12])
    server.start()
    tracker.sync(rows)
    assert tracker.finish(table, rows, trials) == tracker.finish(table, rows, trials)
    client = open_client(server.uri)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.`letheon.kind` = 'trial'")
    assert sorted(run.data.tags["letheon.trial_id"] for run in found) == ["t000", "t001", "t002", "t003"]
    [run] = [run for run in found if run.data.tags["letheon.trial_id"] == "t000"]
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "model_utility")] == [0, 1, 2, 3]

    to = tmp_path / "model"
    pull("sweep", to, tmp_path, Request("max-forget", 0.05), server.uri)
    verify(to, read_manifest(to / "manifest.json"))
    [weights] = (tmp_path / "artifacts").rglob("epoch-003/model/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError, match="SHA-256"):
        pull("sweep", tmp_path / "other", tmp_path, Request("max-forget", 0.05), server.uri)
    assert not (tmp_path / "other").exists()
