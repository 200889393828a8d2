"""A trial's best point so far and its extrapolation."""

from __future__ import annotations

import pytest

from letheon.pareto.geometry import ParetoSet, Point
from letheon.pareto.objectives import Axis, Goals, Limit
from letheon.schedulers.rung import Standing
from letheon.schedulers.trajectory import FAR, best, extrapolate, outside_front, standing

GOALS = Goals()


def report(quality: float, ratio: float) -> dict[str, float]:
    return {"log10_forget_quality": quality, "utility_ratio": ratio, "model_utility": ratio / 2}


def test_a_trial_is_worth_its_best_report() -> None:
    reports = [report(-10, 0.9), report(-5, 0.95), report(-1, 0.5), report(-8, 1.0)]
    assert best(reports, GOALS) == Standing((-5, 0.95))


def test_without_a_feasible_report_the_closest_counts() -> None:
    found = best([report(-1, 0.5), report(-15, 0.7)], GOALS)
    assert found.point == pytest.approx((-15.0, 0.7))
    assert found.violation == pytest.approx(0.1)


def test_an_unmeasured_metric_is_far_from_feasible_but_not_a_broken_model() -> None:
    assert standing({"log10_forget_quality": -3}, GOALS).violation == FAR


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([report(-10, 0.9)], (-10, 0.9)),  # no pace yet
        ([report(-10, 0.9), report(-8, 0.9)], (-6, 0.9)),
        ([report(-19, 0.9), report(-10, 0.9), report(-9, 0.9), report(-8, 0.9)], (-6, 0.9)),  # the last two epochs
        ([report(-9, 0.9), report(-1, 0.9)], (0, 0.9)),  # the ideal
        ([report(-5, 0.9), report(-8, 0.9)], (-8, 0.9)),  # a decline is not extrapolated
        ([report(-10, 0.9), report(-8, 0.3)], (-6, 0.8)),  # a dip
    ],
)
def test_the_recent_pace_is_extrapolated(reports: list[dict[str, float]], expected: Point) -> None:
    found = extrapolate(reports, GOALS)
    assert found.point == pytest.approx(expected)
    assert found.feasible


def test_a_destroyed_model_is_not_extrapolated_to_the_floor() -> None:
    found = extrapolate([report(-10, 0.9), report(-8, 0.05)], GOALS)
    assert not found.feasible
    assert found.violation == pytest.approx(0.75)


def test_without_a_floor_the_second_objective_is_not_extrapolated() -> None:
    goals = Goals(y=Axis("retain_rouge"))
    assert extrapolate([{"log10_forget_quality": -4, "retain_rouge": 0.1, "utility_ratio": 0.9}], goals).point[1] == 0.1


def test_a_point_is_outside_the_front_if_no_checkpoint_covers_it() -> None:
    shown = ParetoSet([(-5.0, 0.9), (-2.0, 0.8)])
    assert outside_front(Standing((-4, 0.85)), shown)
    assert outside_front(Standing((-9, 0.1)), ParetoSet())
    assert not outside_front(Standing((-5, 0.9)), shown)
    assert not outside_front(Standing((-3, 0.8)), shown)
    assert not outside_front(Standing((0, 1), 0.2), shown)


def test_a_dip_is_forgiven_but_a_limit_is_not() -> None:
    goals = Goals(limits=(Limit("privleak", -0.1, 0.1),))
    report = {"log10_forget_quality": -5.0, "utility_ratio": 0.7, "privleak": 0.5}
    assert extrapolate([report], goals).violation == pytest.approx(0.4)
    assert extrapolate([{**report, "privleak": 0.0}], goals).feasible
