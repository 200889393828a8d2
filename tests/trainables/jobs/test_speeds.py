"""Speeds leave out the warm-up and keep to their time; one real measurement of a tiny model leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.preparation.layout import layout
from letheon.preparation.speed_test import base_of, speed_job_of
from letheon.spec.load import load_spec
from letheon.sweep.trial_config import trial_config
from tests import tiny
from tests.letheon.small_sweep import SPACE, write_space
from trainables.config import Hyperparameters
from trainables.data.rows import EvalSet, Row, Split
from trainables.inputs.cache import WorkerCache
from trainables.jobs.prepare import make_base
from trainables.jobs.specs import Speeds
from trainables.jobs.speeds import FIRST_ROWS, LEAST, WARM_UP, evaluation_speed, measure_speeds, step_speed
from trainables.runtime.ranks import Group
from trainables.storage.manifest import list_files

SECONDS = st.floats(0.01, 10)
FRACTION = 0.25


class Clock:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.integers(1, 9), SECONDS), min_size=1, max_size=30), st.floats(0, 50))
def test_steps_are_counted_after_the_warm_up_until_the_time_is_over(
    steps: Sequence[tuple[int, float]], limit: float
) -> None:
    clock, taken = Clock(), list[tuple[int, float]]()

    def take() -> Iterator[int]:
        for rows, seconds in steps:
            clock.now += seconds
            taken.append((rows, seconds))
            yield rows

    found = step_speed(take(), limit, clock, Group())
    counted = taken[WARM_UP:] if len(taken) >= WARM_UP + LEAST else taken
    assert found.rows == sum(rows for rows, _ in counted)
    assert found.seconds == pytest.approx(sum(seconds for _, seconds in counted))
    assert len(taken) >= min(len(steps), WARM_UP + LEAST)
    if len(taken) > WARM_UP + LEAST:
        assert clock.now - taken[-1][1] < limit, "no step begins after the time is over"


@given(st.integers(1, 300), st.integers(1, 50), st.floats(0, 1), st.floats(0.001, 0.1), st.floats(0.1, 200))
def test_an_evaluation_takes_as_many_rows_as_its_time_allows(
    forget: int, others: int, fixed: float, each: float, limit: float
) -> None:
    row = Row("q", "a")
    sets = {"forget": EvalSet((row,) * forget), "retain": EvalSet((row,) * others)}
    clock, seen = Clock(), list[int]()

    def evaluate(split: Split) -> None:
        seen.append(sum(len(each.rows) for each in split.evaluation.values()))
        clock.now += fixed + each * seen[-1]

    found = evaluation_speed(evaluate, Split(0.1, (), (), sets), limit, clock, Group())
    assert found.rows == seen[-1] and found.seconds == pytest.approx(fixed + each * found.rows)
    assert seen[0] == seen[1] or forget + others <= 2 * FIRST_ROWS, "the first evaluation is repeated"
    smallest = 2 * (fixed + each * 2 * FIRST_ROWS)
    assert clock.now <= max(limit, smallest) + 1e-9
    if limit > 12 * (fixed + each * (forget + others)):
        assert found.rows == forget + others


def work(group: Group, folder: Path) -> None:
    """A measurement before anything is prepared, and one of a target that needs no training."""
    spec = load_spec(write_space(folder, SPACE))
    for name in ("fresh", "given"):
        place = folder / name
        prepared = layout(spec, place / "root")
        base, made = base_of(prepared, place)
        assert made is not None
        make_base(made)
        hypers = [
            Hyperparameters(method=method, forget_fraction=FRACTION, learning_rate=3e-4, batch_size=2)
            for method in ("ga", "npo_rt")
        ]
        trials = [trial_config(spec, prepared, "t000", hyper, place) for hyper in hypers]
        job = speed_job_of(prepared, trials, base, place / "slot").model_copy(update={"seconds": 3.0})
        if name == "given":
            job = job.model_copy(update={"finetune": None})
        before = list_files(place)
        found = measure_speeds(job, WorkerCache(), group)
        left = [file for file in list_files(place) if file not in before and "slot/cache/" not in file]
        (folder / f"{name}.json").write_text(json.dumps({"left": left, "speeds": found.model_dump(mode="json")}))


@pytest.mark.timeout(300)
def test_each_part_is_measured_and_no_model_is_left(tmp_path: Path) -> None:
    tiny.spawned(work, tmp_path, sizes=(1,))
    for name in ("fresh", "given"):
        content: dict[str, Any] = json.loads((tmp_path / f"{name}.json").read_text())
        found = Speeds.model_validate(content["speeds"])
        assert content["left"] == []
        assert (found.finetune is None) == (name == "given")
        assert set(found.trials) == {"ga", "npo_rt"}
        speeds = [*found.trials.values(), found.evaluation, *([found.finetune] if found.finetune else [])]
        assert all(0 < speed.seconds < 10 and speed.rows >= 2 * LEAST for speed in speeds)
        assert found.start > 0 and found.save > 0 and found.load >= 0
