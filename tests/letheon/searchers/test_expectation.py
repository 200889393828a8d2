"""What is still to be expected of a search: properties of the formula, and of a front that stops growing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.objectives import Goals
from letheon.searchers.expectation import AHEAD, by_growth, still_expected
from letheon.searchers.history import History

growing = st.lists(st.floats(0, 1), min_size=AHEAD, max_size=60).map(lambda steps: list(np.cumsum([0.1, *steps])))


@given(growing, st.floats(1e-6, 1e6))
def test_it_is_a_share_whatever_the_unit(after: list[float], unit: float) -> None:
    found = by_growth(after)
    assert found is not None and found >= 0
    scaled = by_growth([value * unit for value in after])
    assert scaled == pytest.approx(found, rel=1e-6, abs=1e-9)


@given(growing)
def test_a_front_that_stands_still_promises_less_and_less(after: list[float]) -> None:
    shares = [by_growth([*after, *[after[-1]] * more]) for more in range(0, 4 * len(after), 8)]
    assert shares[-1] == 0


@given(growing)
def test_more_trials_promise_more(after: list[float]) -> None:
    near, far = by_growth(after, ahead=4), by_growth(after, ahead=8)
    assert near is not None and far is not None and near <= far


def test_few_trials_and_no_front_promise_nothing_known() -> None:
    assert by_growth([0.5] * (AHEAD - 1)) is None
    assert by_growth([0.0] * 50) is None


def test_the_growth_of_a_random_search_is_predicted() -> None:
    """The best of uniform draws: the mean prediction over many searches against the mean of what then came."""
    random, count = np.random.default_rng(0), 16
    best = np.maximum.accumulate(random.random((4000, count + AHEAD)) ** 8, axis=1)
    predicted = [(by_growth(list(row[:count])) or 0.0) * row[count - 1] for row in best]
    came = best[:, -1] - best[:, count - 1]
    # Gains shrink as the best nears its end, so the promise is larger than what comes, but of its size.
    assert came.mean() < np.mean(predicted) < 1.5 * came.mean()


def rows_of(utilities: list[float], outcome: str = "completed") -> list[dict[str, Any]]:
    """A trial per utility, each with one checkpoint that forgot everything."""
    baseline = {"log10_forget_quality": -20.0, "model_utility": 0.5, "utility_ratio": 1.0}
    rows: list[dict[str, Any]] = []
    for i, ratio in enumerate(utilities):
        metrics = {"log10_forget_quality": 0.0, "model_utility": ratio / 2, "utility_ratio": ratio}
        start = {"stratum": "0.1", "config": {"method": "ga"}, "baseline": baseline}
        rows.append({"kind": "trial", "trial": f"t{i}", **start})
        rows.append({"kind": "report", "trial": f"t{i}", "epoch": 1, "metrics": metrics})
        rows.append({"kind": "end", "trial": f"t{i}", "outcome": outcome})
    return [{**row, "time": float(i)} for i, row in enumerate(rows)]


def history_of(rows: list[dict[str, Any]]) -> History:
    history = History(Goals(), {})
    for row in rows:
        history.take(row)
    return history


def test_a_history_has_the_hypervolume_after_each_trial() -> None:
    history = history_of(rows_of([0.85, 0.9, 0.88, 1.0]))
    assert history.progress["0.1"].after == pytest.approx([0.25, 0.5, 0.5, 1.0])
    assert still_expected(history, ["0.1", "0.2"]) == {"0.1": None, "0.2": None}


def test_failed_trials_do_not_count() -> None:
    assert still_expected(history_of(rows_of([0.9] * AHEAD)), ["0.1"]) == {"0.1": 0.0}
    assert still_expected(history_of(rows_of([0.9] * AHEAD, "failed")), ["0.1"]) == {"0.1": None}


def test_the_formula_by_hand() -> None:
    after = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.5, 0.5]
    assert by_growth(after, 8) == pytest.approx(0.1 / 0.5 * math.log(16 / 8) / math.log(8 / 4))
