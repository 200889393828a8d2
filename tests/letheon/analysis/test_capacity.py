"""How much each method can forget, from a journal's rows."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.capacity import best_per_method, capacities, to_json

Row = dict[str, Any]


def trial(name: str, method: str, fraction: str) -> Row:
    return {"kind": "trial", "trial": name, "stratum": fraction, "config": {"method": method}}


def report(name: str, epoch: int, quality: float | None, utility: float | None) -> Row:
    metrics = {"forget_quality": quality, "utility_ratio": utility}
    return {"kind": "report", "trial": name, "epoch": epoch, "metrics": metrics}


ROWS = [
    trial("t0", "ga", "0.1"),
    trial("t1", "npo_rt", "0.1"),
    trial("t2", "npo_rt", "0.5"),
    trial("t3", "npo_rt", "0.5"),
    trial("t4", "ga", "0.5"),
    report("t0", 1, 0.9, 0.5),  # forgotten, but destroyed
    report("t0", 2, 0.01, 0.97),
    report("t1", 1, 0.06, 0.96),
    report("t2", 1, 0.2, 0.95),
    report("t2", 2, 0.9, 0.949),
    report("t3", 1, 0.3, 0.99),
    report("t4", 1, math.nan, 0.99),
    report("t4", 2, None, None),
]


def test_each_methods_best_checkpoint_keeps_the_utility() -> None:
    found = {(result.method, result.fraction): result for result in best_per_method(ROWS)}
    assert (found["ga", 0.1].trial, found["ga", 0.1].epoch, found["ga", 0.1].forgotten) == ("t0", 2, False)
    assert (found["npo_rt", 0.5].trial, found["npo_rt", 0.5].forget_quality) == ("t3", 0.3)
    assert found["npo_rt", 0.5].trials == 2
    assert found["ga", 0.5].trial is None


def test_capacity_is_the_largest_fraction_that_is_forgotten() -> None:
    assert capacities(best_per_method(ROWS)) == {"ga": 0.0, "npo_rt": 0.5}
    assert capacities(best_per_method(ROWS, utility_kept=0.4)) == {
        "ga": 0.0,
        "npo_rt": 0.5,
    }  # destroyed is not forgotten
    assert to_json(best_per_method(ROWS), 0.95)["capacity"] == 0.5
    assert to_json([], 0.95)["capacity"] == 0.0


def test_a_model_that_repeats_one_word_has_not_forgotten() -> None:
    shouting = report("t3", 2, 0.9, 0.99)
    shouting["metrics"]["stammer_excess"] = 0.96
    found = {(result.method, result.fraction): result for result in best_per_method([*ROWS, shouting])}
    assert (found["npo_rt", 0.5].epoch, found["npo_rt", 0.5].verdict) == (1, "forgotten")


@given(st.permutations(ROWS[5:]))
def test_the_order_of_reports_does_not_matter(reports: list[Row]) -> None:
    assert best_per_method([*ROWS[:5], *reports]) == best_per_method(ROWS)
