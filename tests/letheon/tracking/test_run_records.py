"""The run of a sweep: its data sets, environment, growth of its fronts, cost, and the machine it ran on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from letheon.dashboard.growth import growth
from letheon.journal.activity import Activity, Work, write_activity
from letheon.pareto.objectives import Goals
from letheon.plots.summary import SweepSummary, sweep_summary
from letheon.tracking import progress_metrics
from letheon.tracking.progress_metrics import ProgressMetrics
from letheon.tracking.run_records import RunRecords
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.system_metrics import SystemMetrics
from letheon.tracking.tracker import Extras, Tracker
from tests.letheon.tracking.tracking_support import (
    SPEC,
    START,
    Rows,
    artifact,
    audited_story,
    front,
    recorded_history,
    recorded_runs,
    recorded_trials,
    save_front,
    story,
)

SWEEP = "tags.`letheon.kind` = 'sweep'"
DATA = {"0.05": {"forget": {"digest": "a" * 64, "rows": 8}, "retain": {"digest": "b" * 64, "rows": 152}}}
FULL = {**SPEC, "benchmark": {"name": "fictional", "people": 8, "path": None}, "searcher": {"name": "random"}}


def with_data(rows: Rows) -> Rows:
    """The rows with the sweep's data sets."""
    return [{**row, "info": {**row["info"], "data": DATA}} if row.get("info") else row for row in rows]


def test_data_sets_are_inputs_with_digest_and_context(fresh_store: str, tmp_path: Path) -> None:
    rows = with_data(story())
    for _ in range(2):
        Tracker(tmp_path, "study", "sweep", FULL, fresh_store).sync(rows)
    [run] = recorded_runs(fresh_store, where=SWEEP)
    assert run.inputs is not None and len(run.inputs.dataset_inputs) == 2
    one = {each.dataset.name: each for each in run.inputs.dataset_inputs}["fictional forget 0.05"]
    assert one.dataset.digest == "a" * 36 and one.dataset.profile is not None
    assert json.loads(one.dataset.profile) == {"sha256": "a" * 64, "num_rows": 8}
    assert {tag.key: tag.value for tag in one.tags} == {"mlflow.data.context": "forget"}
    assert json.loads(one.dataset.source)["benchmark"] == {"name": "fictional", "people": 8}
    assert not [tag for tag in run.data.tags if tag.startswith("letheon.data")]


def test_the_environment_is_an_artifact_and_tags_find_the_sweep(fresh_store: str, tmp_path: Path) -> None:
    Tracker(tmp_path, "study", "sweep", FULL, fresh_store).sync(story())
    found = artifact(recorded_runs(fresh_store, where=SWEEP)[0], "environment.json")
    assert found["packages"]["mlflow"] == found["versions"]["mlflow"] and found["machine"]["memory_bytes"] > 2**28
    for wanted in (
        "tags.`letheon.benchmark` = 'fictional' and tags.`letheon.methods` like '%npo_rt%'",
        "tags.`letheon.method` = 'npo_rt' and tags.`letheon.fraction` = '0.1' and metrics.`best/area` > 0",
        "tags.`letheon.outcome` = 'pruned' and attributes.status = 'KILLED'",
    ):
        assert len(recorded_runs(fresh_store, where=wanted)) == 1, wanted


@pytest.mark.parametrize("cut", [6, 12])
def test_hypervolume_grows_as_the_dashboard_draws_it(fresh_store: str, tmp_path: Path, cut: int) -> None:
    rows = story()
    Tracker(tmp_path, "study", "sweep", SPEC, fresh_store).sync(rows[:cut])
    Tracker(tmp_path, "study", "sweep", SPEC, fresh_store).sync(rows)
    [run] = recorded_runs(fresh_store, where=SWEEP)
    for stratum, steps in growth(rows, Goals()).items():
        found = recorded_history(fresh_store, run, f"hypervolume/{stratum}")
        assert [epochs for epochs, _, _ in steps[:-1]] == [epochs for epochs, _ in found] and found
        assert [share for _, _, share in steps[:-1]] == pytest.approx([share for _, share in found], rel=1e-4)
    assert recorded_history(fresh_store, run, "epochs")[-1] == (5, 5.0)
    assert recorded_history(fresh_store, run, "retain/0.05/model_utility") == [(0, 0.61)]


def test_the_best_checkpoint_of_a_trial_is_one_number(fresh_store: str, tmp_path: Path) -> None:
    for cut in (-3, len(story())):
        Tracker(tmp_path, "study", "sweep", SPEC, fresh_store).sync(story()[:cut])
    runs = recorded_trials(fresh_store)
    best = runs["t000"].data.metrics
    assert (best["best/epoch"], best["best/log10_forget_quality"]) == (2.0, -1.25)
    [(step, area)] = recorded_history(fresh_store, runs["t000"], "best/area")
    assert step == 0 and area == pytest.approx((1 - 1.25 / 20) * 0.58 / 0.60)
    assert runs["t000"].info.run_name == "t000 npo_rt 0.05"
    failed = {key: value for key, value in runs["t003"].data.metrics.items() if key.startswith("best/")}
    assert failed == {"best/area": 0.0} and runs["t003"].data.tags["letheon.best"] == "none"
    assert "utility_ratio 0.17 below 0.8" in runs["t003"].data.tags["mlflow.note.content"]


def finish(uri: str, tmp_path: Path, rows: Rows, summary: SweepSummary) -> None:
    Tracker(tmp_path, "study", "sweep", FULL, uri).finish(front(rows), rows, tmp_path / "trials", None, summary)


def test_cost_and_capacity_are_logged_once_per_state(fresh_store: str, tmp_path: Path) -> None:
    rows, audited = story(), audited_story()
    save_front(tmp_path / "trials", front(rows))
    summary = sweep_summary(rows, Goals(), 3)
    finish(fresh_store, tmp_path, rows, summary)
    later = {"kind": "sweep", "seq": len(rows) + 1, "time": rows[-1]["time"] + 5, "state": "finished"}
    again = sweep_summary([*rows, later], Goals(), 3)
    assert (again.numbers, again.step, again.time) == (summary.numbers, summary.step, summary.time)
    finish(fresh_store, tmp_path, [*rows, later], again)
    [run] = recorded_runs(fresh_store, where=SWEEP)
    assert [step for step, _ in recorded_history(fresh_store, run, "cost/train_seconds")] == [6]
    finish(fresh_store, tmp_path, audited, sweep_summary(audited, Goals(), 3))
    assert [step for step, _ in recorded_history(fresh_store, run, "cost/train_seconds")] == [6, 9]
    assert artifact(run, "cost.json")["total"]["epochs"] == 6
    assert artifact(run, "capacity.json")["reaches"][0]["method"] == "npo_rt"
    _check_texts(recorded_runs(fresh_store, where=SWEEP)[0], list(recorded_trials(fresh_store).values()))


def _check_texts(run: Run, trials: list[Run]) -> None:
    note = run.data.tags["mlflow.note.content"]
    assert "Front at forget fraction 0.05" in note and "t000@2" in note and "letheon pull sweep" in note
    fronts = {run.data.tags["letheon.trial_id"]: run.data.tags.get("letheon.front") for run in trials}
    assert fronts == {"t000": "true", "t001": None, "t002": "true", "t003": None}


class Clock:
    now = START + 101.25

    def __call__(self) -> float:
        return self.now


def test_system_metrics_wait_for_a_store_that_is_down(
    fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, rows = Clock(), story()

    def tracker() -> Tracker:
        return Tracker(tmp_path, "study", "sweep", SPEC, fresh_store, Extras(system=SystemMetrics(clock)))

    one = tracker()
    one.sync(rows[:4])
    assert not one.due
    clock.now += 10
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", _refuse)
        with pytest.raises(TrackingError):
            one.sync(rows)
    clock.now += 10
    one.sync(rows)
    clock.now += 60  # then a second driver
    tracker().sync(rows)
    [run] = recorded_runs(fresh_store, where=SWEEP)
    steps = [step for step, _ in recorded_history(fresh_store, run, "system/cpu_utilization_percentage")]
    assert steps == [100, 110, 120, 180]
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0


def test_progress_of_running_trials_waits_for_the_store_and_disturbs_no_epoch(fresh_store: str, tmp_path: Path) -> None:
    clock, rows = Clock(), story()

    def tracker() -> Tracker:
        return Tracker(tmp_path, "study", "sweep", SPEC, fresh_store, Extras(progress=ProgressMetrics(tmp_path, clock)))

    def at_work(speed: float) -> None:
        work = Work("t000", "training", 3.0, 1.0, "t000", 1, 2, 4, loss=None, tokens_per_second=speed)
        write_activity(tmp_path, Activity(work=[work, replace(work, job="base model", trial=None)], time=clock.now))

    at_work(10.0)
    one = tracker()
    one.sync(rows[:2])  # the trial has no run yet
    clock.now += progress_metrics.PERIOD_SECONDS
    assert one.due
    at_work(20.0)
    one.sync(rows)
    clock.now += 60
    tracker().sync(rows)  # a second driver, after whose first look the worker is silent
    run = recorded_trials(fresh_store)["t000"]
    speeds = recorded_history(fresh_store, run, "progress.tokens_per_second")
    assert [value for _, value in speeds] == [10.0, 20.0]
    assert "progress.loss" not in run.data.metrics
    epochs = [row["epoch"] for row in rows if row["kind"] == "report" and row["trial"] == "t000"]
    assert [step for step, _ in recorded_history(fresh_store, run, "epoch")] == [0, *epochs]


def _refuse(*_: Any, **__: Any) -> None:
    raise ConnectionError("down")


def test_system_metrics_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    machine = SystemMetrics()
    machine.sample(0)
    assert not machine.due and machine.waiting == []


def test_a_trials_fast_paths_are_a_tag() -> None:
    rows, records = story(), RunRecords()
    last = [row for row in rows if row["kind"] == "report" and row["trial"] == "t000"][-1]
    last["fast_paths"] = "lean layers: off: it raised RuntimeError: https://me:secret@host/x; prefix tree: on"
    for row in rows:
        records.apply(row)
    found = records.trials["t000"].tags["letheon.fast_paths"]
    assert found.startswith("lean layers: off: it raised RuntimeError") and found.endswith("prefix tree: on")
    assert "secret" not in found
    assert "letheon.fast_paths" not in records.trials["t001"].tags
