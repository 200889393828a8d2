"""A measurement becomes the records of earlier work, and the estimate follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.preparation.layout import layout
from letheon.preparation.measured import Amounts, epoch_seconds, mean_of, measured, record_of, write_measured
from letheon.preparation.seconds import base_of_target, preparation_seconds
from letheon.preparation.speed_test import announcement, base_of, speed_job_of, tuning_of
from letheon.spec.load import load_spec
from letheon.sweep.plan_time import estimate
from letheon.sweep.trial_config import trial_config
from tests.letheon.small_sweep import sample
from trainables.jobs.specs import BaseJob, Speed, Speeds

SECONDS, COUNTS = st.floats(0.001, 100), st.integers(1, 1000)
SPEEDS = st.builds(Speed, rows=COUNTS, seconds=SECONDS)
PROBED = st.builds(
    Speeds,
    load=SECONDS,
    start=SECONDS,
    save=SECONDS,
    finetune=SPEEDS,
    evaluation=SPEEDS,
    trials=st.fixed_dictionaries({"ga": SPEEDS, "npo": SPEEDS}),
)


def amounts(trials: list[tuple[str, float]], forget: int = 30, evaluated: int = 90, epochs: int = 10) -> Amounts:
    return Amounts(trials, dict.fromkeys((0.1, 0.2), forget), dict.fromkeys((0.1, 0.2), evaluated), epochs)


@given(PROBED, st.integers(1, 4))
def test_equal_slots_have_their_own_mean(found: Speeds, slots: int) -> None:
    mean = mean_of([found] * slots)
    assert mean.start == pytest.approx(found.start) and mean.trials.keys() == found.trials.keys()
    for speed, one in ((mean.evaluation, found.evaluation), (mean.trials["ga"], found.trials["ga"])):
        assert speed.of(7) == pytest.approx(one.of(7))


@given(PROBED, COUNTS, COUNTS, st.integers(1, 50))
def test_an_epoch_is_the_sum_of_its_parts(found: Speeds, forget: int, evaluated: int, epochs: int) -> None:
    def epoch(method: str) -> float:
        return epoch_seconds(found, amounts([(method, 0.1)], forget, evaluated, epochs))

    trained, read = found.trials["ga"], found.evaluation
    parts = trained.seconds / trained.rows * forget + read.seconds / read.rows * evaluated + found.save
    assert epoch("ga") == pytest.approx(parts + found.start / epochs)
    mixed = epoch_seconds(found, amounts([("ga", 0.1), ("npo", 0.2), ("npo", 0.1)], forget, evaluated, epochs))
    assert mixed == pytest.approx((epoch("ga") + 2 * epoch("npo")) / 3)


def test_the_estimate_follows_from_a_measurement_until_a_sweep_has_run(tmp_path: Path) -> None:
    spec = load_spec("quickstart")
    prepared = layout(spec, tmp_path)
    speed = Speed(rows=10, seconds=0.1)
    found = Speeds(load=1, start=1, save=0.5, finetune=speed, evaluation=speed, trials={"ga": speed})
    entries = record_of([found], amounts([("ga", 0.1)]), "elsewhere/base", None, spec.trial.workers_config)
    write_measured(tmp_path / "models", "another-target", entries)
    before = estimate(spec, tmp_path, prepared, 2)
    assert before.preparation is None and before.seconds is None, "of another base and target"
    tuning = tuning_of(prepared)
    assert tuning is not None
    entries = record_of([found], amounts([("ga", 0.1)]), tuning.base, base_of_target(prepared), tuning.workers)
    write_measured(tmp_path / "models", prepared.target.key, {**entries, "start": {"seconds": 20.0}})
    after = estimate(spec, tmp_path, prepared, 2)
    assert after.seconds_per_epoch == pytest.approx(0.3 + 0.9 + 0.5 + 0.1) and after.sweep is None
    assert after.seconds == pytest.approx(224 * 1.8 / 2)
    assert after.preparation == 20.0 + (preparation_seconds(spec, tmp_path, prepared, 2) or 0)
    other = load_spec("quickstart", ["trial.cpus_per_worker=2"])
    assert preparation_seconds(other, tmp_path, layout(other, tmp_path), 2) is None, "on other workers"


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    write_measured(tmp_path, "key", {"epoch": {"seconds": 2.0}})
    (tmp_path / "measured-other.json").write_text("{")
    assert [entry["seconds"] for entry in measured(tmp_path, "epoch")] == [2.0]
    assert list(measured(tmp_path, "finetune")) == []


@pytest.mark.parametrize("target", [None, "published/target"])
def test_a_measurement_writes_below_its_own_folder_only(tmp_path: Path, target: str | None) -> None:
    root, folder = tmp_path / "root", tmp_path / "scratch"
    changes = [] if target is None else [f"model.target={target}", "model.base=published/base"]
    spec = load_spec("quickstart", changes)
    prepared = layout(spec, root)
    base, made = base_of(prepared, folder)
    job = speed_job_of(prepared, [trial_config(spec, prepared, "t000", sample(spec, 0), root)], base, folder / "0")
    assert (made is None) == (target is not None)
    if isinstance(made, BaseJob):
        assert Path(made.folder).parent == folder and made.folder == base
    (trial,) = job.trials
    assert trial.target == (target or base), "trials start from the target or, before it is trained, from its base"
    assert all(str(folder) in path for path in (job.folder, trial.folder, trial.reference_cache))
    assert job.finetune is not None and job.finetune.base == (base or "published/base")
    assert "fine-tuning steps, steps of ga" in announcement(job, 2)
