"""The collapse rule on the first of the recorded tables."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from letheon.schedulers.config import CollapseConfig
from letheon.search.trajectories import Metrics, Table, Trajectory

PATH = Path(__file__).resolve().parents[3] / "benchmarks" / "tables" / "fictional" / "table.parquet"
EPOCHS = 10


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read(PATH)


def stopped_at(one: Trajectory) -> int:
    """The epoch at which the collapse rule ends the trial, computed from the rule's description."""
    rule, below = CollapseConfig(), 0
    for epoch, metrics in enumerate(one.epochs, start=1):
        ratio = metrics["utility_ratio"]
        rises = epoch > 1 and ratio - one.epochs[epoch - 2]["utility_ratio"] >= rule.recovery
        below = 0 if ratio >= rule.floor or rises else below + 1
        if below == rule.patience or not math.isfinite(ratio):
            return epoch
    return len(one.epochs)


def feasible(metrics: Metrics) -> bool:
    return metrics["utility_ratio"] >= CollapseConfig().floor and math.isfinite(metrics["log10_forget_quality"])


def test_the_collapse_rule_loses_no_front_configuration(table: Table) -> None:
    stopped = 0
    for stratum, target in table.baselines.items():
        members = [one for one in table.trajectories if one.stratum == stratum]
        points = [
            (metrics["log10_forget_quality"], metrics["utility_ratio"], epoch, one)
            for one in members
            for epoch, metrics in enumerate(one.epochs, start=1)
            if feasible(metrics)
        ]
        seen = [(target["log10_forget_quality"], 1.0), *((x, y) for x, y, _, _ in points)]
        front = [p for p in points if not any(x >= p[0] and y >= p[1] and (x, y) != p[:2] for x, y in seen)]
        assert front
        lost = [one.config for _, _, epoch, one in front if epoch > stopped_at(one)]
        assert not lost
        stopped += sum(stopped_at(one) < EPOCHS for one in members)
    assert stopped > 0  # the rule does stop trials
