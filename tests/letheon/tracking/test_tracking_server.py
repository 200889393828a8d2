"""A real MLflow server that proxies artifacts: down in mid-sweep, back again, pulled from."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letheon.checkpoints.manifest import VerificationError, read_manifest, verify
from letheon.journal import Journal, status_of, tracking_health
from letheon.pareto.objectives import Goals
from letheon.spec.load import load_spec
from letheon.sweep.mirror import Mirror
from letheon.sweep.recording import Recorder
from letheon.sweep.run import run_sweep
from letheon.tracking.reader.pull import Request, pull
from letheon.tracking.reader.sweeps import find_sweep, read_rows
from letheon.tracking.store.connection import open_client
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.store.journal_artifact import without_secrets
from letheon.tracking.tracker import Tracker
from tests.faults.support import FaultySweep
from tests.letheon.servers import MlflowServer, mlflow_server
from tests.letheon.small_sweep import wait_for, write_space
from tests.letheon.tracking.tracking_support import SPEC, front, recorded_epochs, save_front, story

pytestmark = pytest.mark.timeout(600)  # a server takes 10 s to start, far longer on a busy machine


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[MlflowServer]:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    with mlflow_server(tmp_path) as one:
        yield one


def test_a_server_that_is_down_is_reported_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    with socket.socket() as held:  # bound but not listening, so that no other process takes the port
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
        with pytest.raises(TrackingError, match=rf"(?i){address}.*connection refused.*start the tracking server"):
            run_sweep(load_spec(write_space(tmp_path)), root, show=lambda _: None, say=lambda _: None)
    assert sorted(path.name for path in root.rglob("*")) == ["lock", "small", "sweeps"]


def test_the_recorder_catches_up_when_the_server_is_back(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the journal grows and `status` reports the lag; afterwards the records have each row once."""
    monkeypatch.setattr("letheon.sweep.mirror.RETRY_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder, trials, pending = tmp_path / "sweep", tmp_path / "trials", [dict(row) for row in story()]
    journal = Journal(folder / "journal.jsonl")

    def append(count: int) -> None:
        for row in pending[:count]:
            journal.append(**{name: value for name, value in row.items() if name not in ("seq", "time")})
        del pending[:count]

    def is_in(state: str) -> bool:
        found = status_of(folder).tracking or {}
        return found.get("state") == state and bool(found["behind"]) == (state == "degraded")

    tracker = Tracker(tmp_path, "study", "sweep", SPEC, server.uri)
    with Recorder(journal, Mirror(tracker, folder), trials, Goals(), show=lambda _: None):
        append(8)
        wait_for(lambda: is_in("ok"))
        server.stop()
        append(3)
        wait_for(lambda: is_in("degraded"))
        assert server.uri in (status_of(folder).tracking or {})["where"]
        append(2)  # the sweep goes on
        server.start()
        append(len(pending))
        wait_for(lambda: is_in("ok"))
    client = open_client(server.uri)
    assert read_rows(client, find_sweep(client, "sweep")[1]) == [without_secrets(row) for row in journal.rows]
    epochs = {"t000": [1, 2, 3], "t001": [1], "t002": [1], "t003": [1]}
    assert recorded_epochs(server.uri, "study", "model_utility") == epochs

    table = front(journal.rows)
    save_front(trials, table)
    assert tracker.finish(table, journal.rows, trials) == tracker.finish(table, journal.rows, trials)
    to = tmp_path / "model"
    pull("sweep", to, tmp_path, Request("max-forget", 0.05), server.uri)
    verify(to, read_manifest(to / "manifest.json"))
    [weights] = (tmp_path / "artifacts").rglob("epoch-003/model/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError, match="SHA-256"):
        pull("sweep", tmp_path / "other", tmp_path, Request("max-forget", 0.05), server.uri)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_sweep_continues_while_its_server_is_down(server: MlflowServer, tmp_path: Path) -> None:
    """Status reports it meanwhile, and afterwards the server has each run, metric and version once.

    Trials wait until the outage, and then its end, has been seen, so no machine is too fast for the test.
    """
    held = {"fault": "hold", "epoch": 2}
    sweep = FaultySweep(tmp_path, 2, 4, {"t000": held, "t001": held}, cpus=float(len(os.sched_getaffinity(0))))
    environment = {**sweep.environment, "MLFLOW_TRACKING_URI": server.uri}

    def state() -> Any:
        return (tracking_health(sweep.place) or {}).get("state")

    with sweep.started("sweep", sweep.space, environment=environment) as driver:
        wait_for(lambda: sweep.has_reported("t000", 1) and state() == "ok", driver)
        server.stop()
        sweep.release("t000")
        wait_for(lambda: sweep.has_reported("t001", 1) and state() == "degraded", driver)
        status = json.loads(sweep.run("status", sweep.name, "--json").stdout)["tracking"]
        assert status["state"] == "degraded" and server.uri in status["where"] and status["behind"] > 0
        server.start()
        wait_for(lambda: state() == "ok", driver)
        sweep.release("t001")
        assert driver.wait(300) == 0, sweep.output.read_text()
    _check_once(server.uri, sweep.name, sweep.rows)


def _check_once(uri: str, name: str, rows: list[dict[str, Any]]) -> None:
    client = open_client(uri)
    assert read_rows(client, find_sweep(client, name)[1]) == rows
    assert recorded_epochs(uri, name, "forget_kl") == {
        trial["trial"]: [row["epoch"] for row in rows if row["kind"] == "report" and row["trial"] == trial["trial"]]
        for trial in rows
        if trial["kind"] == "trial"
    }
    versions = client.search_model_versions(f"name = '{name}'")
    identities = Counter((version.tags["letheon.trial"], version.tags["letheon.epoch"]) for version in versions)
    assert identities and set(identities.values()) == {1}
