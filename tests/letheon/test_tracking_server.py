"""The same records through a real MLflow server that proxies artifacts: down in mid-sweep, back again, pulled from."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letheon.checkpoints import Request, VerificationError, pull, read_manifest, verify
from letheon.mirror import Mirror
from letheon.objectives import Goals
from letheon.recorder import Recorder
from letheon.records import Journal, status_of, tracking_health
from letheon.spec import load_spec
from letheon.sweep import run_sweep
from letheon.tracking import Tracker, TrackingError
from letheon.tracking.read import find_sweep, read_rows
from letheon.tracking.rows import without_secrets
from letheon.tracking.store import open_client
from tests.letheon.mlflow_server import Server
from tests.letheon.small_sweep import SPACE, letheon, start, wait_for, write_space
from tests.letheon.tracking_support import SPEC, front, save_front, story

pytestmark = pytest.mark.timeout(600)  # a server takes 10 s to start, far longer on a busy machine


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
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
    mirror = Mirror(tracker, tmp_path)
    assert "refused" in str(mirror.complete(rows[:12])).lower()
    health = tracking_health(tmp_path)
    assert health is not None and (health["state"], health["behind"]) == ("degraded", 3)
    server.start()
    assert mirror.complete(rows) is None
    health = tracking_health(tmp_path)
    assert health is not None and (health["state"], health["behind"]) == ("ok", 0)
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


def test_a_server_that_is_down_is_said_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    with socket.socket() as held:  # bound and not listening: nobody else can take the port meanwhile
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
        with pytest.raises(TrackingError, match=rf"(?i){address}.*connection refused.*start the tracking server"):
            run_sweep(load_spec(write_space(tmp_path)), root, show=lambda _: None, say=lambda _: None)
    assert sorted(path.name for path in root.rglob("*")) == ["lock", "small", "sweeps"]


def test_the_recorder_catches_up_when_the_server_is_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal grows meanwhile, `status` says how far the records are behind, and then they have each row once."""
    monkeypatch.setattr("letheon.mirror.RETRY_SECONDS", 0.5)
    folder, told = tmp_path / "sweep", [dict(row) for row in story()]
    journal = Journal(folder / "journal.jsonl")

    def append(count: int) -> None:
        for row in told[:count]:
            journal.append(**{name: value for name, value in row.items() if name not in ("seq", "time")})
        del told[:count]

    def until(state: str) -> dict[str, Any]:
        end = time.monotonic() + 60
        while (found := status_of(folder).tracking or {}).get("state") != state or bool(found["behind"]) != bool(
            state == "degraded"
        ):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return dict(found)

    mirror = Mirror(Tracker(tmp_path, "study", "sweep", SPEC, server.uri), folder)
    with Recorder(journal, mirror, tmp_path / "trials", Goals(), show=lambda _: None):
        append(8)
        until("ok")
        server.stop()
        append(3)
        assert server.uri in until("degraded")["where"]
        append(2)  # the sweep goes on
        server.start()
        append(len(told))
        until("ok")
    client = open_client(server.uri)
    assert read_rows(client, find_sweep(client, "sweep")[1]) == [without_secrets(row) for row in journal.rows]
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    trials = client.search_runs([experiment.experiment_id], "tags.`letheon.kind` = 'trial'")
    assert sorted(run.data.tags["letheon.trial_id"] for run in trials) == ["t000", "t001", "t002", "t003"]
    [run] = [run for run in trials if run.data.tags["letheon.trial_id"] == "t000"]
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "model_utility")] == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_goes_on_while_its_server_is_away(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status says so meanwhile, and afterwards the server has each run, metric and version once."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    space, root = write_space(tmp_path, SPACE.replace("trials: 6", "trials: 30")), tmp_path / "root"
    folder = root / "sweeps" / "small"

    def reports() -> int:
        return sum(row["kind"] == "report" for row in Journal.read(folder / "journal.jsonl"))

    def state() -> Any:
        return (tracking_health(folder) or {}).get("state")

    driver = start("sweep", space, root=root, log=tmp_path / "sweep.log")
    wait_for(lambda: reports() >= 3 and state() == "ok", driver, 900)
    server.stop()
    wait_for(lambda: state() == "degraded", driver, 120)
    told = json.loads(letheon("status", "small", "--json", root=root).stdout)["tracking"]
    assert told["state"] == "degraded" and server.uri in told["where"] and told["behind"] > 0
    before = reports()
    wait_for(lambda: reports() >= before + 3, driver, 300)
    assert state() == "degraded"
    server.start()
    if driver.wait(900):  # it came to its end before the server was back
        done = letheon("resume", "small", root=root)
        assert done.returncode == 0, done.stderr
    assert state() == "ok"
    _check_once(server.uri, Journal.read(folder / "journal.jsonl"))


def _check_once(uri: str, rows: list[dict[str, Any]]) -> None:
    client = open_client(uri)
    parent = find_sweep(client, "small")[1]
    assert read_rows(client, parent) == rows
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    trials = client.search_runs([experiment.experiment_id], "tags.`letheon.kind` = 'trial'")
    wanted = Counter(row["trial"] for row in rows if row["kind"] == "trial")
    assert Counter(run.data.tags["letheon.trial_id"] for run in trials) == wanted
    for run in trials:
        trial = run.data.tags["letheon.trial_id"]
        epochs = [row["epoch"] for row in rows if row["kind"] == "report" and row["trial"] == trial]
        history = client.get_metric_history(run.info.run_id, "model_utility")
        assert sorted(metric.step for metric in history) == [0, *sorted(epochs)]
    versions = client.search_model_versions("name = 'small'")
    identities = Counter((version.tags["letheon.trial"], version.tags["letheon.epoch"]) for version in versions)
    assert identities and set(identities.values()) == {1}
