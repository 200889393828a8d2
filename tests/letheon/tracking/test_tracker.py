"""A journal in MLflow, on a real SQLite store: each run and metric once, whatever is killed or repeated."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from letheon.tracking.store.connection import local_folder, open_client
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.tracker import Tracker
from tests.letheon.small_sweep import python
from tests.letheon.tracking.tracking_support import (
    SPEC,
    Rows,
    Story,
    audited_story,
    experiment_of,
    metrics,
    recorded_runs,
    story,
)


def tracker(root: Path, study: str, uri: str) -> Tracker:
    return Tracker(root, study, "sweep", SPEC, uri)


def runs(uri: str, study: str) -> dict[str, Run]:
    """By trial, the parent under "parent"; fails if any of them is there twice."""
    found = recorded_runs(uri, study)
    by_name = {run.data.tags.get("letheon.trial_id", "parent"): run for run in found}
    assert len(by_name) == len(found)
    return by_name


def histories(uri: str, study: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Everything recorded of the trials, times included. `keys`: the metrics, all by default."""
    client = open_client(uri)
    return {name: _record(client, run, keys) for name, run in runs(uri, study).items() if name != "parent"}


def _record(client: MlflowClient, run: Run, keys: Sequence[str]) -> dict[str, Any]:
    points = {
        key: [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, key)]
        for key in keys or run.data.metrics
    }
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("letheon")}
    return {
        "points": points,
        "tags": tags,
        "params": run.data.params,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
    }


# ---- runs and metrics


def test_a_sweep_becomes_a_parent_and_a_child_for_every_trial(store: str, study: str, tmp_path: Path) -> None:
    tracker(tmp_path, study, store).sync(story())
    found = runs(store, study)
    parent = found.pop("parent")
    assert set(found) == {"t000", "t001", "t002", "t003"}
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert {name: run.info.status for name, run in found.items()} == {
        "t000": "FINISHED",
        "t001": "KILLED",
        "t002": "FAILED",
        "t003": "KILLED",
    }
    assert found["t001"].data.tags["letheon.reason"] == "rank 2 of 2 at rung 1"
    assert found["t003"].data.tags["letheon.outcome"] == "collapsed"
    assert found["t000"].data.tags["letheon.rung"] == "3"
    assert found["t000"].data.params == {"method": "npo_rt", "forget_fraction": "0.05", "learning_rate": "0.0001"}
    assert parent.info.status == "RUNNING"
    assert parent.data.params["search.method.choice"] == '["ga", "npo_rt"]'
    assert parent.data.tags["letheon.version.letheon"]


def test_a_metric_has_the_step_and_the_time_of_its_journal_row(store: str, study: str, tmp_path: Path) -> None:
    tracker(tmp_path, study, store).sync(story())
    utility = histories(store, study)["t000"]["points"]["model_utility"]
    assert [(step, value) for step, _, value in utility] == [(0, 0.60), (1, 0.595), (2, 0.58), (3, 0.50)]
    times = {row["epoch"]: row["time"] for row in story() if row["kind"] == "report" and row["trial"] == "t000"}
    assert [time for _, time, _ in utility[1:]] == [round(times[epoch] * 1000) for epoch in (1, 2, 3)]


def environment_changes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The list to which every later change of the environment is added."""
    changes: list[object] = []
    monkeypatch.setattr(os, "putenv", lambda *arguments: changes.append(arguments))
    monkeypatch.setattr(os, "unsetenv", lambda *arguments: changes.append(arguments))
    return changes


def test_recording_leaves_the_environment_alone(
    store: str, study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in a thread of its own, while C libraries read the environment without a lock."""
    ours = tracker(tmp_path, study, store)
    ours.begin_check()
    changes = environment_changes(monkeypatch)
    ours.finish_check()
    ours.sync(story())
    ours.log_journal(story())
    assert changes == []


def test_a_second_sweep_of_the_same_name_gets_its_own_runs(store: str, study: str, tmp_path: Path) -> None:
    tracker(tmp_path, study, store).sync(story())
    later = [{**row, "time": row["time"] + 9999} for row in story()]
    tracker(tmp_path, study, store).sync(later)
    names = [run.data.tags.get("letheon.trial_id", "parent") for run in recorded_runs(store, study)]
    assert sorted(names) == sorted(["parent", "t000", "t001", "t002", "t003"] * 2)


def test_an_interrupted_sweep_leaves_nothing_running_and_resumes(store: str, study: str, tmp_path: Path) -> None:
    tale = Story()
    tale.add("sweep", state="running")
    tale.trial("t000", "0.05", "ga")
    tale.report("t000", 1, -3.0, 0.5)
    tale.add("sweep", state="interrupted", detail="stopped")
    one = tracker(tmp_path, study, store)
    one.sync(tale.rows)
    found = runs(store, study)
    assert (found["parent"].info.status, found["t000"].info.status) == ("KILLED", "KILLED")
    assert found["t000"].data.tags["letheon.outcome"] == "interrupted"
    tale.add("sweep", state="running")
    tale.report("t000", 2, -2.0, 0.5)
    tracker(tmp_path, study, store).sync(tale.rows)
    found = runs(store, study)
    assert (found["parent"].info.status, found["t000"].info.status) == ("RUNNING", "RUNNING")
    tale.end("t000", "completed", 2)
    tale.add("sweep", state="finished")
    tracker(tmp_path, study, store).sync(tale.rows)
    found = runs(store, study)
    assert (found["parent"].info.status, found["t000"].info.status) == ("FINISHED", "FINISHED")
    assert found["t000"].data.tags["letheon.outcome"] == "completed"


def test_a_metric_that_is_not_finite_is_nan_and_named(store: str, study: str, tmp_path: Path) -> None:
    tale = Story()
    tale.add("sweep", state="running")
    tale.trial("t000", "0.05", "ga")
    broken = {**metrics(-3.0, 0.5), "loss": math.inf, "forget_quality": math.nan, "note": "text", "flag": True}
    tale.add("report", trial="t000", epoch=1, metrics=broken, decision={"action": "stop", "rung": None})
    for _ in range(2):
        tracker(tmp_path, study, store).sync(tale.rows)
    record = histories(store, study)["t000"]
    assert math.isnan(record["points"]["loss"][1][2]) and len(record["points"]["loss"]) == 2
    assert record["tags"]["letheon.non_finite"] == "forget_quality@1=nan, loss@1=inf"
    assert "note" not in record["points"] and "flag" not in record["points"]


def test_a_metric_that_was_not_measured_at_an_epoch_has_no_point_there(store: str, study: str, tmp_path: Path) -> None:
    rows = story()
    first = next(row for row in rows if row["kind"] == "report" and row["trial"] == "t000")
    first["metrics"]["forget_rouge"] = 0.25
    tracker(tmp_path, study, store).sync(rows)
    points = histories(store, study)["t000"]["points"]
    assert [(step, value) for step, _, value in points["forget_rouge"]] == [(1, 0.25)]
    assert [step for step, _, _ in points["model_utility"]] == [0, 1, 2, 3]


def test_batches_stay_within_the_limits_of_mlflow(store: str, study: str, tmp_path: Path) -> None:
    tale = Story()
    tale.add("sweep", state="running", info={f"key{i}": "x" * 9000 for i in range(150)})
    tale.add("trial", trial="t000", stratum="0.05", config={f"p{i}": "v" * 9000 for i in range(150)})
    many = {f"metric {i} (%)": float(i) for i in range(900)}
    for epoch in (1, 2, 3):
        tale.add("report", trial="t000", epoch=epoch, metrics=many, decision={})
    tale.end("t000", "failed", 3, "x" * 100_000)
    tracker(tmp_path, study, store).sync(tale.rows)
    keys = ["metric 0 ___", "metric 799 ___", "metric 800 ___", "metric 899 ___", "epoch"]
    record = histories(store, study, keys)["t000"]
    assert {len(points) for points in record["points"].values()} == {3}
    assert len(runs(store, study)["t000"].data.metrics) == 902  # and best/area
    assert len(record["params"]) == 150
    assert len(record["tags"]["letheon.reason"]) == 1000


def test_no_password_is_recorded(store: str, study: str, tmp_path: Path) -> None:
    tracker(tmp_path, study, store).sync(story())
    found = runs(store, study)
    text = json.dumps([[run.data.tags, run.data.params] for run in found.values()])
    folder = local_folder(str(found["parent"].info.artifact_uri))
    assert folder is not None
    text += (folder / "spec.yaml").read_text()
    assert "hunter2" not in text and "secret" not in text and "https://***@host/x" in text


def test_rows_of_unknown_kinds_are_ignored(store: str, study: str, tmp_path: Path) -> None:
    rows: Rows = [*story(), {"kind": "future", "seq": len(story()) + 1, "time": 1.8e9}]
    tracker(tmp_path, study, store).sync(rows)
    assert len(runs(store, study)) == 5


def test_an_audit_is_a_metric_of_its_trial_and_changes_nothing_else(store: str, study: str, tmp_path: Path) -> None:
    whole, late = f"{study}-whole", f"{study}-late"
    rows = audited_story()
    tracker(tmp_path, whole, store).sync(rows)
    tracker(tmp_path, late, store).sync(rows[:-3])
    for cut in (-2, -1, len(rows)):  # one driver per row, the last one twice
        tracker(tmp_path, late, store).sync(rows[:cut])
    tracker(tmp_path, late, store).sync(rows)
    found = histories(store, whole)
    assert repr(histories(store, late)) == repr(found)  # nan
    points = found["t000"]["points"]["audit_worst_forget_rouge"]
    assert [(step, str(value)) for step, _, value in points] == [(2, "0.4"), (3, "nan")]
    assert (found["t000"]["status"], found["t000"]["tags"]["letheon.audited"]) == ("FINISHED", "2,3")
    parent = runs(store, late)["parent"].data
    assert parent.metrics["retain/0.05/audit_worst_forget_rouge"] == 0.2
    assert "audit_worst_forget_rouge" not in found["t001"]["points"]


# ---- the check


@pytest.mark.timeout(60)  # MLflow's own retries would take minutes
def test_a_closed_port_is_refused_at_once_with_the_url_and_the_cause(tmp_path: Path) -> None:
    with socket.socket() as held:  # bound but not listening, so that no other process takes the port
        held.bind(("127.0.0.1", 0))
        uri = f"http://me:hunter2@127.0.0.1:{held.getsockname()[1]}"
        message = r"(?i)\*\*\*@127\.0\.0\.1.*connection refused.*MLFLOW_TRACKING_URI"
        with pytest.raises(TrackingError, match=message) as caught:
            tracker(tmp_path, "study", uri).check()
    assert "hunter2" not in str(caught.value)


def test_a_deleted_experiment_is_refused_with_the_fix(store: str, study: str, tmp_path: Path) -> None:
    one = tracker(tmp_path, study, store)
    one.check()
    client = open_client(store)
    client.delete_experiment(experiment_of(client, study))
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        tracker(tmp_path, study, store).check()


def test_the_store_is_in_the_root_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Tracker(tmp_path, "a", "b", {}).uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert Tracker(tmp_path, "a", "b", {}).uri == "http://host:5000"


@pytest.mark.parametrize("name", ["it's", 'a"b', "a/b", "a:b", ""])
def test_names_that_mlflow_cannot_search_for_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrackingError, match="name"):
        Tracker(tmp_path, name, "sweep", {})


# ---- the check in two parts: the quick one before Ray starts, the rest while it starts

BEGIN_CHECK = """
import sys
from pathlib import Path
from letheon.tracking.tracker import Tracker
tracker = Tracker(Path(sys.argv[1]), "study", "sweep", {})
tracker.begin_check()
assert "mlflow" not in sys.modules
tracker.finish_check()
assert "mlflow" in sys.modules
"""


def test_a_store_of_our_own_is_checked_without_mlflow_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    python(BEGIN_CHECK, tmp_path)


def test_a_store_that_cannot_be_written_is_refused_by_the_first_part(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrackingError, match="tracking store sqlite"):
        Tracker(tmp_path, "study", "sweep", SPEC, f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}").begin_check()
    (tmp_path / "mlflow.db").write_text("no database, though as long as the header of one" * 10)
    with pytest.raises(TrackingError, match="not a database"):
        Tracker(tmp_path, "study", "sweep", SPEC, f"sqlite:///{tmp_path / 'mlflow.db'}").begin_check()
