"""The trials in compact form: gaps in metrics, ranks by non-dominated sorting, and MLflow's best checkpoint."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.dashboard.trial_columns import front_ranks, trial_columns
from letheon.dashboard.trial_view import trial_view
from letheon.pareto.objectives import Goals
from letheon.tracking.run_records import BEST, RunRecords
from tests.letheon.dashboard.support import LongStory, record
from tests.letheon.tracking.tracking_support import Story

GOALS = Goals()


def test_metrics_missing_at_an_epoch_are_null() -> None:
    tale = Story()
    tale.trial("t000", "0.05", "ga")
    for epoch in (1, 2, 3):
        tale.report("t000", epoch, -3.0, 0.5)
    tale.rows[-2]["metrics"]["forget_rouge"] = 0.25
    known = record(tale.rows, "running")
    (trial,) = trial_columns(known.rows, known.goals)
    assert trial["metrics"]["forget_rouge"] == [None, None, 0.25, None]
    assert trial_view(known, "t000")["metrics"]["values"]["forget_rouge"] == [None, None, 0.25, None]


heights = st.tuples(st.integers(-6, 0).map(float), st.integers(48, 60).map(lambda y: y / 100))


@given(st.lists(st.lists(heights, min_size=1, max_size=4), max_size=12))
@settings(max_examples=60, deadline=None)
def test_ranks_are_those_of_non_dominated_sorting(trials: list[list[tuple[float, float]]]) -> None:
    tale = Story()
    for number, points in enumerate(trials):
        tale.trial(f"t{number:03d}", "0.1", "ga")
        for epoch, (x, y) in enumerate(points, 1):
            tale.report(f"t{number:03d}", epoch, x, y)
    left = {point for points in trials for point in points}
    rank_of: dict[tuple[float, float], int] = {}
    rank = 0
    while left:
        front = {p for p in left if not any(o != p and o[0] >= p[0] and o[1] >= p[1] for o in left)}
        rank_of.update(dict.fromkeys(front, rank))
        left -= front
        rank += 1
    expected = {f"t{number:03d}": min(rank_of[p] for p in points) for number, points in enumerate(trials)}
    assert front_ranks(tale.rows, GOALS) == expected


def test_the_best_checkpoint_is_the_one_in_mlflow() -> None:
    rows = LongStory(40).rows
    records = RunRecords(GOALS)
    for row in rows:
        records.apply(row)
    for trial in trial_columns(rows, GOALS):
        points = {point.key: point.value for point in records.trials[trial["id"]].once[BEST]}
        assert trial["best"] == points.get("best/epoch")
        if trial["best"] is not None:
            at = trial["epochs"].index(trial["best"])
            for name in ("log10_forget_quality", "model_utility"):
                assert trial["metrics"][name][at] == pytest.approx(points[f"best/{name}"], rel=1e-4)
