"""One rung's decision: the properties that any correct successive halving has, over random data and orders."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.schedulers.asha import decide
from letheon.schedulers.config import SchedulerConfig

VALUES = st.integers(-3, 3).map(float) | st.floats(-10, 10) | st.just(-math.inf)
RUNG = st.lists(VALUES, max_size=25)
ETAS = st.sampled_from([1.5, 2.0, 3.0, 4.0])


def action(values: list[float], newcomer: float, eta: float = 3.0, least: int = 3) -> str:
    config = SchedulerConfig(max_epochs=9, reduction_factor=eta, min_rung_size=least)
    return decide(values, newcomer, 3, 3, config).action


@given(RUNG, st.floats(-10, 10), ETAS)
def test_a_feasible_newcomer_that_is_at_least_as_good_as_all_continues(
    rung: list[float], value: float, eta: float
) -> None:
    assert action(rung, max([value, *rung]), eta) == "continue"


@given(RUNG, ETAS, st.integers(1, 5))
def test_an_infeasible_newcomer_is_stopped_at_once(rung: list[float], eta: float, least: int) -> None:
    assert action(rung, -math.inf, eta, least) == "stop"


@given(RUNG, st.floats(-10, 10), st.floats(0, 5), ETAS)
def test_a_better_value_is_never_treated_worse(rung: list[float], value: float, gain: float, eta: float) -> None:
    if action(rung, value, eta) == "continue":
        assert action(rung, value + gain, eta) == "continue"


@given(st.sets(st.integers(), min_size=1, max_size=25), ETAS)
def test_the_best_share_of_a_full_rung_would_continue(values: set[int], eta: float) -> None:
    everyone = sorted(float(value) for value in values)
    kept = [v for v in everyone if action([other for other in everyone if other != v], v, eta, least=1) == "continue"]
    count = math.ceil(len(everyone) / eta)
    assert kept == everyone[-count:]


@given(st.lists(st.sampled_from([1.0, 1.0, 2.0]), min_size=1, max_size=12))
def test_equal_values_get_the_same_decision(values: list[float]) -> None:
    fates = {(v, action(values[:i] + values[i + 1 :], v, least=1)) for i, v in enumerate(values)}
    assert len(fates) == len(set(values))


def test_a_decision_states_the_values_behind_it() -> None:
    config = SchedulerConfig(max_epochs=9, metric="loss", mode="min")
    pruned = decide([-1.0, -2.0, -3.0], -2.5, 3, 4, config)
    assert pruned.reason == "rung 3: best loss 2.5 is rank 3 of 4, outside the best 1/3"
    assert (pruned.action, pruned.epoch, pruned.rung, pruned.rank, pruned.of) == ("stop", 4, 3, 3, 4)
    assert (pruned.front, pruned.outcome) == (None, "pruned")
    kept = decide([-3.0, -2.0], -1.0, 3, 3, config)
    assert kept.reason == "rung 3: best loss 1 is rank 1 of 3, within the best 1/3"


@pytest.mark.parametrize(
    ("grace", "eta", "most", "rungs"),
    [
        (1, 3, 10, (1, 3, 9, 10)),
        (1, 4, 100, (1, 4, 16, 64, 100)),
        (1, 3, 9, (1, 3, 9)),
        (2, 2, 5, (2, 4, 5)),
        (1, 1.5, 5, (1, 2, 3, 4, 5)),
        (3, 3, 3, (3,)),
        (1, 3, 1, (1,)),
    ],
)
def test_rungs_include_max_epochs(grace: int, eta: float, most: int, rungs: tuple[int, ...]) -> None:
    assert SchedulerConfig(max_epochs=most, grace_epochs=grace, reduction_factor=eta).rungs == rungs
