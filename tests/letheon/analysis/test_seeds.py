"""Means over seeds: spreads, groups, and the front of means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.seeds import front_of_means, groups, seed_epochs, spread
from letheon.pareto.front import front_of

Row = dict[str, Any]
VALUES = st.lists(st.floats(-20, 20), min_size=1, max_size=5)


def trial(name: str, seed: int, stratum: str = "0.05", **config: Any) -> Row:
    return {
        "kind": "trial",
        "trial": name,
        "stratum": stratum,
        "config": {"method": "npo", "forget_fraction": float(stratum), "seed": seed, **config},
        "baseline": {"model_utility": 0.5},
    }


def report(name: str, epoch: int, quality: float, utility: float) -> Row:
    metrics = {"log10_forget_quality": quality, "model_utility": utility, "utility_ratio": utility / 0.5}
    return {"kind": "report", "trial": name, "epoch": epoch, "metrics": metrics}


@given(VALUES)
def test_a_spread_follows_its_definition(values: list[float]) -> None:
    found = spread(values)
    assert found.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    assert found.seeds == len(values)
    assert min(values) - 1e-9 <= found.low <= found.mean <= found.high <= max(values) + 1e-9
    expected = math.sqrt(math.fsum((v - found.mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0
    assert found.std == pytest.approx(expected, abs=1e-6)


@given(VALUES, st.floats(0.1, 3), st.floats(-5, 5), st.randoms())
def test_a_spread_scales_with_its_units_and_ignores_order(
    values: list[float], scale: float, shift: float, random: Any
) -> None:
    one = spread(values)
    shuffled = [scale * value + shift for value in values]
    random.shuffle(shuffled)
    other = spread(shuffled)
    for name in ("mean", "low", "high"):
        assert getattr(other, name) == pytest.approx(scale * getattr(one, name) + shift, abs=1e-6)


def test_two_seeds_by_hand() -> None:
    found = spread([1.0, 3.0])  # resampled means 1, 2, 2, 3
    assert found.mean == 2.0
    assert [found.low, found.high] == pytest.approx([1.075, 2.925])
    assert found.std == pytest.approx(math.sqrt(2))


def test_many_seeds_are_resampled_the_same_everywhere() -> None:
    values = np.linspace(0, 1, 30).tolist()
    found = spread(values)
    assert found == spread(values)
    error = found.std / math.sqrt(30)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.06)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_destroyed_model_has_no_mean(bad: float) -> None:
    found = spread([0.5, bad])
    assert math.isnan(found.mean) and math.isnan(found.std) and math.isnan(found.low) and math.isnan(found.high)


def test_trials_are_grouped_by_all_but_the_seed() -> None:
    rows = [trial("t000", 0, beta=0.1), trial("t001", 1, beta=0.1), trial("t002", 0, beta=0.2), trial("t003", 0, "0.1")]
    assert [group.trials for group in groups(rows)] == [("t000", "t001"), ("t002",), ("t003",)]
    assert groups(rows)[0].config == {"method": "npo", "forget_fraction": 0.05, "beta": 0.1}


def test_an_epoch_counts_once_every_seed_has_reported_it() -> None:
    rows = [trial("t000", 0), trial("t001", 1), report("t000", 1, -3, 0.45), report("t000", 2, -2, 0.45)]
    assert seed_epochs(rows, 2) == []
    rows.append(report("t001", 1, -1, 0.47))
    [one] = seed_epochs(rows, 2)
    assert (one.group.trials, one.epoch) == (("t000", "t001"), 1)
    assert one.spreads["log10_forget_quality"].mean == one.means["log10_forget_quality"] == -2.0
    assert one.means["model_utility"] == pytest.approx(0.46)
    assert seed_epochs(rows, 3) == []  # the third seed has not begun


def test_the_front_of_means() -> None:
    rows = [trial("t000", 0), trial("t001", 1), trial("t002", 0, beta=0.5), trial("t003", 1, beta=0.5)]
    rows += [report("t000", 1, -1.0, 0.48), report("t001", 1, -9.0, 0.46)]  # lucky once
    rows += [report("t002", 1, -3.0, 0.48), report("t003", 1, -3.5, 0.47)]
    single = front_of(rows)["strata"]["0.05"]
    assert [point["trial"] for point in single["points"]] == ["t000"]
    found = front_of_means(rows, 2, "s")
    stratum = found["strata"]["0.05"]
    assert [point["trials"] for point in stratum["points"]] == [["t002", "t003"]]
    (point,) = stratum["points"]
    assert point["metrics"]["log10_forget_quality"] == pytest.approx(-3.25)
    assert point["config"] == {"method": "npo", "forget_fraction": 0.05, "beta": 0.5}
    assert point["interval"]["model_utility"][0] < 0.475 < point["interval"]["model_utility"][1]
    assert (point["seeds"], "checkpoint" in point) == (2, False)
    assert stratum["knee"] == point


def test_a_mean_below_the_floor_is_off_the_front() -> None:
    rows = [trial("t000", 0), trial("t001", 1), report("t000", 1, -1.0, 0.50), report("t001", 1, -1.0, 0.20)]
    stratum = front_of_means(rows, 2)["strata"]["0.05"]
    assert stratum["points"] == []
    assert [point["trials"] for point in stratum["least_violating"]] == [["t000", "t001"]]


@given(st.lists(st.tuples(st.floats(-20, 0), st.floats(0.3, 0.5)), min_size=1, max_size=6))
def test_with_one_seed_the_front_of_means_is_the_front(values: list[tuple[float, float]]) -> None:
    rows = [trial("t000", 0), *(report("t000", epoch, *pair) for epoch, pair in enumerate(values, start=1))]
    one, other = front_of(rows)["strata"]["0.05"], front_of_means(rows, 1)["strata"]["0.05"]
    assert [point["epoch"] for point in one["points"]] == [point["epoch"] for point in other["points"]]
    assert one["hypervolume"] == pytest.approx(other["hypervolume"])
