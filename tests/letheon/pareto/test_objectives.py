"""Objectives, limits and goals: signs, ranges, the scheduler's scalar, what an audit adds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.objectives import FORGET_QUALITY, MODEL_UTILITY, Axis, Goals, Limit, named, ordered

KL = Axis("forget_kl", "min", worst=5.0, best=0.0)
AUDITED = Axis("audit_worst_forget_rouge", "min", worst=1.0, best=0.0)
PROBE = Axis("probe_relearn_forget_rouge", "min", worst=1.0, best=0.0)
VALUES = st.floats(-50, 50)


@pytest.mark.parametrize(
    ("quality", "ratio", "expected"),
    [(-20, 1, 0), (0, 1, 1), (-10, 0.5, 0.25), (-30, 1, 0), (0, 1.2, 1), (1, 0.5, 0.5), (0, -1, 0)],
)
def test_the_area_of_forget_quality_and_utility(quality: float, ratio: float, expected: float) -> None:
    assert area(quality, ratio) == expected


def test_the_area_is_nan_if_an_objective_is_missing() -> None:
    assert math.isnan(area(math.nan, 1.0))
    assert math.isnan(area(0.0, math.nan))
    assert math.isnan(Goals().area({"utility_ratio": 1.0}))


def area(quality: float, ratio: float) -> float:
    return Goals().area({"log10_forget_quality": quality, "utility_ratio": ratio, "model_utility": 7.0})


@given(VALUES, VALUES)
def test_a_minimised_metric_is_maximised_with_the_opposite_sign(a: float, b: float) -> None:
    assert (KL.maximised({"forget_kl": a}) > KL.maximised({"forget_kl": b})) == (a < b)
    assert KL.share({"forget_kl": min(a, b)}) >= KL.share({"forget_kl": max(a, b)})
    assert 0 <= KL.share({"forget_kl": a}) <= 1


def test_the_ends_of_a_range_are_maximised_too() -> None:
    assert KL.ends(math.nan, 0.8) == (-5.0, 0.0)
    assert (KL.share({"forget_kl": 5.0}), KL.share({"forget_kl": 0.0})) == (0.0, 1.0)
    assert MODEL_UTILITY.ends(0.5, 0.8) == (0.4, 0.5)
    assert FORGET_QUALITY.ends(0.5, 0.8) == (-20.0, 0.0)


def test_the_metric_with_a_floor_is_the_second_objective() -> None:
    assert ordered([MODEL_UTILITY, FORGET_QUALITY]) == (FORGET_QUALITY, MODEL_UTILITY)
    assert ordered([KL, AUDITED]) == (KL, AUDITED)
    assert ordered([PROBE, MODEL_UTILITY, FORGET_QUALITY]) == (FORGET_QUALITY, MODEL_UTILITY, PROBE)
    assert ordered([KL, AUDITED, MODEL_UTILITY]) == (KL, MODEL_UTILITY, AUDITED)
    assert ordered([PROBE, MODEL_UTILITY]) == (PROBE, MODEL_UTILITY)
    assert Goals(**named([KL, AUDITED])).axes == (KL, AUDITED)
    for axes in ([KL], [KL] * 4):
        with pytest.raises(ValueError, match="two or three"):
            named(axes)


@given(st.tuples(VALUES, VALUES, st.floats(0, 1)))
def test_a_third_objective_counts_as_the_first_two(values: tuple[float, float, float]) -> None:
    goals = Goals(x=KL, y=MODEL_UTILITY, z=PROBE)
    kl, ratio, back = values
    metrics = {"forget_kl": kl, "model_utility": 0.5 * ratio, "utility_ratio": ratio, PROBE.metric: back}
    plane, without = Goals(x=KL, y=MODEL_UTILITY), {k: v for k, v in metrics.items() if k != PROBE.metric}
    assert goals.objectives(metrics) == (*plane.objectives(metrics), -back)
    assert goals.ranked_objectives(metrics) == (*plane.ranked_objectives(metrics), -back)
    assert goals.area(metrics) == pytest.approx(plane.area(metrics) * (1 - back))
    assert goals.normalised(metrics, {}) == (*plane.normalised(metrics, {}), pytest.approx(1 - back))
    assert goals.measured(metrics) and not goals.measured(without)
    assert not goals.feasible(without) and math.isnan(goals.area(without))
    assert goals.to_json()["objectives"] == {"forget_kl": "min", "model_utility": "max", PROBE.metric: "min"}


def test_a_third_objective_of_the_audit_is_left_out_of_the_search() -> None:
    goals = Goals(x=KL, z=AUDITED)
    assert goals.needs_audit and goals.search_goals.axes == (KL, MODEL_UTILITY)
    assert Goals(x=AUDITED, z=PROBE).search_goals.axes == (FORGET_QUALITY, MODEL_UTILITY)
    assert Goals(z=PROBE).search_goals == Goals(z=PROBE)


@given(VALUES, VALUES, VALUES)
def test_a_limit_holds_exactly_between_its_ends(value: float, a: float, b: float) -> None:
    limit = Limit("forget_rouge", min(a, b), max(a, b), scale=2.0)
    violation = limit.violation({"forget_rouge": value})
    assert (violation == 0) == (min(a, b) <= value <= max(a, b))
    assert violation >= 0


def test_a_missing_metric_violates_its_limit_unless_an_audit_is_still_to_come() -> None:
    limit, audited = Limit("forget_rouge", high=0.4), Limit("audit_relearn_forget_rouge", high=0.4)
    assert limit.violation({}) == limit.violation({"forget_rouge": math.nan}) == math.inf
    assert audited.violation({}) == 0
    assert audited.violation({"audit_relearn_forget_rouge": math.nan}) == math.inf
    assert audited.violation({"audit_relearn_forget_rouge": 0.5}) == pytest.approx(0.1)


@given(st.floats(0, 2))
def test_the_floor_is_violated_only_below_it(ratio: float) -> None:
    assert (Goals().violation({"utility_ratio": ratio}) == 0) == (ratio >= 0.8)
    assert Goals().violation({}) == math.inf


def test_before_an_audit_its_goals_are_those_that_the_search_can_measure() -> None:
    late = Limit("audit_relearn_forget_rouge", high=0.4)
    goals = Goals(limits=(late, Limit("forget_rouge", high=0.5)))
    assert goals.needs_audit
    assert goals.search_goals == Goals(limits=goals.limits[1:])
    assert Goals(x=AUDITED).search_goals == Goals()
    assert Goals(x=AUDITED, search_axes=(KL, MODEL_UTILITY)).search_goals.axes == (KL, MODEL_UTILITY)
    plain = Goals()
    assert plain.search_goals is plain


def test_goals_as_a_sweep_file_has_them() -> None:
    goals = Goals(x=KL, limits=(Limit("forget_rouge", high=0.5), Limit("retain_rouge", low=0.2, high=1.0)))
    assert goals.to_json() == {
        "objectives": {"forget_kl": "min", "model_utility": "max"},
        "constraints": {"forget_rouge": {"max": 0.5}, "retain_rouge": {"min": 0.2, "max": 1.0}},
    }


def test_an_infinite_value_lies_within_an_open_end() -> None:
    assert Limit("loss", high=0.5).violation({"loss": -math.inf}) == 0.0
    assert Limit("loss", low=0.5).violation({"loss": -math.inf}) == math.inf
