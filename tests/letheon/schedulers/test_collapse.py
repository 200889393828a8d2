"""When a model counts as broken."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.objectives import Goals
from letheon.schedulers.collapse import collapsed, dip, infeasible
from letheon.schedulers.config import CollapseConfig, SchedulerConfig

RULE = CollapseConfig(floor=0.8, patience=2)
GOOD = {"log10_forget_quality": -3.0, "utility_ratio": 0.9, "model_utility": 0.5, "loss": 1.0}


@pytest.mark.parametrize(
    ("ratios", "reason"),
    [
        ([0.5], None),
        ([0.9, 0.5], None),
        ([0.5, 0.8], None),  # the floor itself is good enough
        ([0.5, 0.9, 0.5], None),  # dipped and recovered
        ([0.5, 0.52], None),  # below, but on its way up
        ([0.5, 0.51], "utility_ratio 0.51 < floor 0.8 for 2 reports in a row"),  # too little to be a recovery
        ([0.5, 0.41], "utility_ratio 0.41 < floor 0.8 for 2 reports in a row"),
        ([0.9] * 20 + [0.7, 0.6], "utility_ratio 0.6 < floor 0.8 for 2 reports in a row"),  # late collapse
    ],
)
def test_the_floor_with_patience(ratios: list[float], reason: str | None) -> None:
    fault = collapsed(ratios, RULE)
    assert (fault and fault.reason) == reason
    assert fault is None or fault.outcome == "collapsed"


@given(st.lists(st.floats(0, 1.2), max_size=12), st.floats(0.1, 1), st.integers(1, 4))
def test_it_fires_first_at_the_first_long_enough_run(ratios: list[float], floor: float, patience: int) -> None:
    rule = CollapseConfig(floor=floor, patience=patience)
    fired = [collapsed(ratios[:n], rule) is not None for n in range(1, len(ratios) + 1)]
    stuck = [
        ratio < floor and (i == 0 or ratio - ratios[i - 1] < rule.recovery) for i, ratio in enumerate(ratios)
    ]  # below the floor, and not on the way up
    expected = [n >= patience and all(stuck[n - patience : n]) for n in range(1, len(ratios) + 1)]
    assert fired == expected


def test_a_dip_is_noted() -> None:
    assert dip([0.9, 0.75], RULE) == " (utility_ratio 0.75 < floor 0.8, 1 of 2 reports)"
    assert dip([0.75, 0.9], RULE) == ""


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_metrics_that_are_not_finite_are_infeasible(name: str, value: float) -> None:
    fault = infeasible({**GOOD, name: value}, 4, SchedulerConfig(max_epochs=9).required(Goals()))
    assert fault is not None
    assert fault.outcome == "collapsed"
    assert fault.reason == f"{name} is {value} at epoch 4, not a finite number"


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (SchedulerConfig(max_epochs=9), {"log10_forget_quality", "utility_ratio"}),
        (SchedulerConfig(max_epochs=9, metric="privleak"), {"privleak", "utility_ratio"}),
        (SchedulerConfig(max_epochs=9, metric="privleak", collapse=None), {"privleak"}),
        (SchedulerConfig(max_epochs=9, name="none", collapse=None), {"log10_forget_quality", "utility_ratio"}),
    ],
)
def test_a_missing_metric_is_the_trainables_fault(config: SchedulerConfig, needed: set[str]) -> None:
    metrics, required = {**GOOD, "privleak": 0.1}, config.required(Goals())
    assert infeasible(metrics, 1, required) is None
    for name in metrics:
        fault = infeasible({k: v for k, v in metrics.items() if k != name}, 1, required)
        assert (fault is not None) == (name in needed)
        if fault is not None:
            assert (fault.outcome, fault.reason.split(";")[0]) == (
                "failed",
                f"{name} is missing from the report of epoch 1",
            )
