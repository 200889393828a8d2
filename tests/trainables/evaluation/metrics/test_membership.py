"""Attack scores and their AUC against definitions written out, ties and NaN included."""

from __future__ import annotations

import math
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.metrics.membership import auc, lowest_mean, privleak, zlib_score

scores = st.lists(st.integers(-4, 4).map(float) | st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(scores, scores)
def test_auc_is_the_share_of_pairs_in_order(members: list[float], others: list[float]) -> None:
    wins = sum((m < o) + (m == o) / 2 for m in members for o in others)
    assert auc(members, others) == pytest.approx(wins / (len(members) * len(others)), abs=1e-12)
    assert auc(members, others) + auc(others, members) == pytest.approx(1.0)


def test_auc_of_infinite_losses_and_of_none() -> None:
    assert auc([0.1, 0.2], [math.inf, 3.0]) == 1.0
    assert math.isnan(auc([0.1, math.nan], [1.0]))
    assert math.isnan(auc([0.1], [math.nan, 1.0]))
    with pytest.raises(ValueError, match="needs one of each"):
        auc([], [1.0])


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_lowest_mean_is_over_the_least_likely_tokens(log_probs: list[float], share: float) -> None:
    count = max(1, math.floor(len(log_probs) * share))
    expected = -sum(sorted(log_probs)[:count]) / count
    assert lowest_mean(log_probs, share) == pytest.approx(expected, abs=1e-9)


def test_lowest_mean_without_tokens_and_with_nan() -> None:
    assert lowest_mean([], 0.4) == 0.0
    assert math.isnan(lowest_mean([-1.0, math.nan], 0.4))


def test_zlib_score_is_per_compressed_byte() -> None:
    text = "Where was Ada born? Ada was born in Ålesund."
    assert zlib_score(2.5, text) == 2.5 / len(zlib.compress(text.encode()))
    assert zlib_score(1.0, "\ud800 is no character") > 0
    assert math.isnan(zlib_score(math.nan, text))


@pytest.mark.parametrize(("model", "expected"), [(0.4, 0.0), (1.0, -100.0), (0.1, 50.0)])
def test_privleak(model: float, expected: float) -> None:
    assert privleak(model, 0.4) == pytest.approx(expected, abs=1e-6)


def test_privleak_of_a_retain_model_that_is_told_apart_for_certain_is_finite() -> None:
    assert math.isfinite(privleak(0.9, 1.0))
