"""What a sweep will take by stage, from files of earlier work, and how far off that was."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.common.stop_request import EXIT_CODE
from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import layout
from letheon.preparation.seconds import makespan, preparation_seconds
from letheon.schedulers.config import SchedulerConfig
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.plan_time import NotMeasurable, estimate, how_far_off, measure
from tests.letheon.small_sweep import letheon, processes_of, start, wait_for, write_space
from trainables.data.benchmarks.registry import load_benchmark
from trainables.jobs.specs import BaselineJob, FinetuneJob
from trainables.storage.atomic_folder import MARKER

SECONDS_PER_ROW = 0.01
STOP_SECONDS = 30.0  # five on an idle machine


def planned(root: Path, *overrides: str) -> tuple[SweepSpec, Prepared]:
    spec = load_spec("quickstart", list(overrides))
    return spec, layout(spec, root)


def prepare(prepared: Prepared, speed: float = SECONDS_PER_ROW) -> float:
    """The files of a preparation that took `speed` seconds per row. Returns the seconds of all jobs together."""
    total = 0.0
    for artifact in prepared.missing:
        job = artifact.job
        facts: dict[str, Any] = {} if job is None else job.model_dump(mode="json")
        if isinstance(job, FinetuneJob):
            data = load_benchmark(job.benchmark)
            rows = len(data.full if job.fraction is None else data.split(job.fraction).retain)
            rows += len(data.general) if job.with_general else 0
            facts |= {"rows": rows, "seconds": speed * rows * job.recipe.epochs}
            total += facts["seconds"]
        if isinstance(job, BaselineJob):
            sets = load_benchmark(job.benchmark).split(job.fraction).evaluation.values()
            rows = sum(len(each.rows) for each in sets)
            made = {"target": Path(job.target).name, "rows": rows, "seconds": speed * rows, "workers": facts["workers"]}
            artifact.path.write_text(json.dumps({"made": made}))
            total += made["seconds"]
            continue
        artifact.path.mkdir(parents=True)
        (artifact.path / MARKER).write_text(json.dumps(facts))
    return total


def test_a_preparation_is_estimated_from_an_earlier_one_of_the_same_base_and_workers(tmp_path: Path) -> None:
    spec, prepared = planned(tmp_path)
    assert preparation_seconds(spec, tmp_path, prepared, 2) is None, "nothing was measured"
    prepare(prepared)
    assert preparation_seconds(spec, tmp_path, prepared, 2) == 0.0, "nothing is missing"
    longer, missing = planned(tmp_path, "model.recipe.epochs=40")
    expected = preparation_seconds(longer, tmp_path, missing, 1)
    assert expected == pytest.approx(prepare(planned(tmp_path / "elsewhere", "model.recipe.epochs=40")[1]))
    assert expected is not None and expected / 2 <= (preparation_seconds(longer, tmp_path, missing, 2) or 0) < expected
    others, missing = planned(tmp_path, "model.recipe.epochs=40", "trial.cpus_per_worker=2")
    assert preparation_seconds(others, tmp_path, missing, 1) is None, "on other workers"


@given(st.lists(st.floats(0, 100), max_size=12), st.integers(1, 5))
def test_jobs_in_slots_end_between_the_even_share_and_one_after_another(seconds: list[float], slots: int) -> None:
    end = makespan(seconds, slots)
    assert max([sum(seconds) / slots, *seconds]) - 1e-9 <= end <= sum(seconds) + 1e-9
    assert slots > 1 or end == pytest.approx(sum(seconds))


def files_below(root: Path) -> list[str]:
    return sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())


@pytest.mark.slow
@pytest.mark.timeout(900)  # Ray starts twice
def test_a_measured_plan_knows_its_stages_and_leaves_one_file(tmp_path: Path) -> None:
    space, root, log = write_space(tmp_path), tmp_path / "root", tmp_path / "log"
    stopped = start("plan", space, "--measure", root=root, log=log)
    wait_for(lambda: "measuring in" in log.read_text(), stopped)
    began = time.monotonic()
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(60) == EXIT_CODE
    took = time.monotonic() - began
    assert files_below(root) == [] and processes_of(root) == []
    done = letheon("plan", space, "--measure", root=root)
    assert done.returncode == 0, done.stderr
    assert "measuring in" in done.stdout and "steps of npo_rt, ga" in done.stdout
    target = layout(load_spec(space), root).target.key
    assert files_below(root) == [f"models/measured-{target}.json"]
    time_line = " ".join(done.stdout.partition("\ntime ")[2].partition("\nto prepare")[0].split())
    assert time_line.startswith("at most ") and "s per epoch as measured" in time_line and "of preparation" in time_line
    again = letheon("plan", space, "--measure", "--json", root=root)
    assert "nothing to measure" in again.stderr
    assert json.loads(again.stdout)["time"]["seconds_per_epoch"] > 0
    assert took < STOP_SECONDS


def test_the_synthetic_experiment_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NotMeasurable, match="no language model"):
        measure(load_spec("npo_synthetic"), tmp_path, None, tmp_path, print)


def test_a_sweep_says_how_far_off_its_estimate_was(tmp_path: Path) -> None:
    spec, prepared = planned(tmp_path)
    prepare(prepared)
    found = estimate(spec, tmp_path, prepared, 2)
    assert found.stages == {"preparation": 0.0} and found.gpu_hours is None
    rows: list[dict[str, Any]] = [
        {"kind": "sweep", "state": "preparing", "time": 0.0, "seq": 1},
        {"kind": "sweep", "state": "running", "time": 45.0, "seq": 2},
        {"kind": "trial", "trial": "t000", "stratum": "0.1", "config": {}, "time": 45.0, "seq": 3},
        {"kind": "end", "trial": "t000", "outcome": "completed", "reason": "", "time": 168.0, "seq": 4},
    ]
    assert how_far_off(rows) is None
    rows[1]["info"] = {"estimate": {"preparation": 40.0, "search": 180.0}}
    assert how_far_off(rows) == "preparation 45 s (planned: 40 s), search 2 min 3 s (planned: at most 3 min)"
    rows[1]["info"] = {"estimate": {"search": 180.0, "likely": 120.0}}
    assert how_far_off(rows) == "search 2 min 3 s (planned: 2 min, at most 3 min)"


@given(st.integers(1, 40), st.integers(1, 10), st.floats(1.5, 4))
def test_a_trial_that_may_be_stopped_takes_between_its_grace_and_all_epochs(most: int, grace: int, eta: float) -> None:
    grace = min(grace, most)
    scheduler = SchedulerConfig(name="asha", max_epochs=most, grace_epochs=grace, reduction_factor=eta)
    assert grace <= scheduler.mean_epochs <= most + 1e-9
    assert (scheduler.mean_epochs < most) == (len(scheduler.rungs) > 1)
    assert SchedulerConfig(name="none", max_epochs=most).mean_epochs == most
