"""Time left: exact if nothing is uncertain, always bounded, and close to the truth in replay."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.time_left import (
    Running,
    Workload,
    duration,
    expected_epochs_left,
    in_words,
    survival_curve,
    time_left,
)
from letheon.monitor.view import LiveFold
from letheon.monitor.watch import spec_facts
from letheon.search.simulator import simulate
from letheon.search.trajectories import Table
from letheon.spec.model import SweepSpec

TABLE = Path(__file__).resolve().parents[3] / "benchmarks" / "tables" / "fictional" / "table.parquet"
lengths = st.lists(st.integers(0, 8), max_size=12)


def test_trials_that_all_run_to_the_end_take_their_epochs() -> None:
    """Ten planned, two slots, five epochs of 2 s: four have ended, two are before their fourth epoch, 0.5 s into it."""
    running = [Running("0.1", 3, 0.5), Running("0.1", 3, 0.5)]
    work = Workload(2, 5, running, [5] * 4, {"0.1": 4}, seconds_per_epoch=2.0)
    left = time_left(work)
    assert left.seconds == pytest.approx((2 * (2 * 2.0 - 0.5) + 4 * 5 * 2.0) / 2)
    assert (left.bound, left.how) == ("about", "by the trials to come")


def test_before_a_trial_has_ended_it_is_an_upper_bound() -> None:
    left = time_left(Workload(2, 5, [Running("0.1", 1, 0.0)], [], {"": 3}, seconds_per_epoch=2.0))
    assert (left.seconds, left.bound) == ((4 + 3 * 5) * 2.0 / 2, "at most")


def test_strata_cost_what_they_have_cost() -> None:
    work = Workload(1, 2, [], [2], {"0.1": 1, "0.2": 1}, seconds_per_epoch=4.0, by_stratum={"0.1": 2.0})
    assert time_left(work).seconds == pytest.approx(2 * 2.0 + 2 * 4.0)


@pytest.mark.parametrize(
    ("limits", "seconds", "how"),
    [
        ({"wall_hours": 0.01}, 36.0, "by budget.wall_hours"),
        ({"epochs": 10}, 10 * 2.0 / 2, "by budget.epochs"),
        ({"gpu_hours": 0.01}, 36.0 / 0.5 / 2, "by budget.gpu_hours"),
        ({"wall_hours": -1.0}, 0.0, "by budget.wall_hours"),
        ({"wall_hours": 1.0, "epochs": 3}, 3.0, "by budget.epochs"),
    ],
)
def test_the_first_limit_reached_ends_the_search(limits: dict[str, float], seconds: float, how: str) -> None:
    work = Workload(2, 5, [], [5], {"": 500}, seconds_per_epoch=2.0, left=limits, gpus_per_trial=0.5)
    left = time_left(work)
    assert left.seconds == pytest.approx(seconds)
    assert left.how == how


@pytest.mark.parametrize(
    "work",
    [
        Workload(0, 5, to_start={"": 3}, seconds_per_epoch=1.0),
        Workload(2, 5, to_start={"": 3}),
        Workload(2, 5, seconds_per_epoch=1.0),
        Workload(2, 5, seconds_per_epoch=1.0, left={"trials": 3.0, "gpu_hours": 1.0}),
    ],
)
def test_without_enough_facts_the_time_is_unknown(work: Workload) -> None:
    left = time_left(work)
    assert left.seconds is None
    assert in_words(left) == "time left unknown"


@given(lengths)
def test_without_running_trials_survival_is_a_count(ended: list[int]) -> None:
    survival = survival_curve(ended, [], 8)
    if ended:
        assert survival == pytest.approx(
            [sum(length >= epoch for length in ended) / len(ended) for epoch in range(1, 9)]
        )
        assert sum(survival) == pytest.approx(sum(ended) / len(ended))
    else:
        assert survival == [1.0] * 8


@given(lengths, lengths, st.integers(1, 8), st.integers(0, 20), st.integers(1, 4))
def test_no_estimate_is_negative_or_longer_than_everything(
    ended: list[int], running: list[int], most: int, to_start: int, slots: int
) -> None:
    ended, running = [min(it, most) for it in ended], [min(it, most - 1) for it in running]
    survival = survival_curve(ended, running, most)
    assert all(0 <= later <= earlier <= 1 for earlier, later in pairwise(survival))
    assert all(1 - 1e-9 <= expected_epochs_left(survival, epoch) <= most - epoch + 1e-9 for epoch in running)
    work = Workload(slots, most, [Running("0.1", it, 0.0) for it in running], ended, {"0.1": to_start}, 3.0)
    seconds = time_left(work).seconds
    everything = 3.0 * (to_start * most + sum(most - it for it in running))
    assert seconds is not None and -1e-9 <= seconds <= max(everything / slots, 3.0 * most) + 1e-9
    assert everything == 0 or not running or seconds > 0


def test_in_replay_of_recorded_trials_it_is_close_to_the_truth() -> None:
    """At a quarter, half and three quarters of the time, on sweeps that prune by different rules."""
    table = Table.read(TABLE)
    errors = [
        abs(_estimate(rows, spec, share) - rest) / rest
        for rows, spec in _replays(table)
        for share, rest in _samples(rows)
    ]
    assert median(errors) < 0.12
    assert max(errors) < 0.35


def _replays(table: Table) -> list[tuple[list[dict[str, object]], SweepSpec]]:
    found = []
    for seed in range(4):
        for scheduler in ({"name": "none"}, {"grace_epochs": 5, "reduction_factor": 1.5}):
            fields = {
                "name": "replay",
                "search": table.domains(),
                "scheduler": {"max_epochs": table.max_epochs, **scheduler},
                "searcher": {"name": "random", "seed": seed},
                "budget": {"trials": 60},
            }
            spec = SweepSpec.model_validate(fields)
            start = {"kind": "sweep", "seq": 0, "time": 0.0, "state": "running", "info": {"slots": 4}}
            found.append(([start, *simulate(spec, table, 4).rows], spec))
    return found


def _samples(rows: list[dict[str, object]]) -> list[tuple[float, float]]:
    whole = float(str(rows[-1]["time"]))
    return [(share * whole, (1 - share) * whole) for share in (0.25, 0.5, 0.75)]


def _estimate(rows: list[dict[str, object]], spec: SweepSpec, now: float) -> float:
    fold = LiveFold(spec_facts(spec))
    for row in rows:
        if float(str(row["time"])) <= now:
            fold.take(row)
    seconds = fold.view(fold.state("s", now), now).left.seconds
    return math.nan if seconds is None else seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (125, "2 min 5 s"), (120, "2 min"), (7830, "2 h 10 min"), (273600, "3 d 4 h")],
)
def test_durations_are_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_text_is_no_more_precise_than_the_estimate() -> None:
    def words(seconds: float) -> str:
        work = Workload(1, 1, [], [1], left={"wall_hours": seconds / 3600})
        return in_words(time_left(work))

    assert words(40.2) == "about 40 s left"
    assert words(290) == "about 5 min left"
    assert words(7830) == "about 2 h 10 min left"
