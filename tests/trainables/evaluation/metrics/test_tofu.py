"""Metrics at their ends, and what goldens do not hold: exact p-values, collapsed models, NaN."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.metrics import tofu

ratios = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


@given(st.lists(st.floats(1e-6, 1.0), min_size=9, max_size=9))
def test_utility_is_the_harmonic_mean(parts: list[float]) -> None:
    assert tofu.harmonic_mean(parts) == pytest.approx(9 / sum(1 / part for part in parts))


def test_one_lost_part_is_no_utility() -> None:
    assert tofu.harmonic_mean([0.9] * 8 + [0.0]) == 0.0


@pytest.mark.parametrize("parts", [[], [0.5] * 8 + [-0.1]])
def test_utility_refuses_nothing_and_what_is_negative(parts: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least one|negative"):
        tofu.harmonic_mean(parts)


def test_quality_is_the_share_of_relabellings_that_lie_as_far_apart() -> None:
    """The exact two-sample KS test by enumeration of all splits of the pooled sample."""

    def distance(first: tuple[float, ...], second: tuple[float, ...]) -> float:
        at = [(sum(v <= x for v in first), sum(v <= x for v in second)) for x in first + second]
        return max(abs(a / len(first) - b / len(second)) for a, b in at)

    ours, theirs = (0.1, 0.2, 0.35, 0.4, 0.9), (0.3, 0.5, 0.6, 0.7, 0.8)
    pooled = ours + theirs
    seen = distance(ours, theirs)
    splits = list(itertools.combinations(range(10), 5))
    far = 0
    for chosen in splits:
        first = tuple(pooled[i] for i in chosen)
        second = tuple(pooled[i] for i in range(10) if i not in chosen)
        far += distance(first, second) >= seen - 1e-12
    assert tofu.forget_quality(ours, theirs) == pytest.approx(far / len(splits), rel=1e-9)


@pytest.mark.parametrize("rows", [40, 200, 400])
def test_quality_of_disjoint_samples_is_the_constant_of_their_size(rows: int) -> None:
    quality = tofu.forget_quality(np.linspace(0, 1, rows), np.linspace(2, 3, rows))
    assert math.log10(quality) == pytest.approx(math.log10(2) - math.log10(math.comb(2 * rows, rows)), rel=1e-6)


@given(ratios, ratios)
def test_quality_does_not_care_which_way_up_the_ratio_is(ours: list[float], theirs: list[float]) -> None:
    upside_down = tofu.forget_quality([-r for r in ours], [-r for r in theirs])
    assert tofu.forget_quality(ours, theirs) == pytest.approx(upside_down, rel=1e-6)


def test_log10_is_clipped() -> None:
    assert tofu.log10_forget_quality(1e-3) == pytest.approx(-3)
    assert tofu.log10_forget_quality(1.9e-119) == -20
    assert tofu.log10_forget_quality(0.0) == -20


def test_a_destroyed_model_has_finite_metrics() -> None:
    """Losses of thousands of nats: every probability underflows, no ratio may become inf or 0 / 0."""
    answer, perturbed = [5000.0, 9000.0], [[9000.0] * 3, [5000.0] * 3]
    assert tofu.choice_probability(answer, perturbed) == pytest.approx([1.0, 0.0])
    assert np.isfinite(tofu.truth_ratio(answer, perturbed)).all()
    assert tofu.forget_truth_ratio_score(tofu.truth_ratio(answer, perturbed)) == pytest.approx(0.0)


def test_nan_passes_through() -> None:
    nan = math.nan
    values = [
        tofu.probability([nan], [3])[0],
        tofu.choice_probability([nan], [[1.0, 2.0]])[0],
        tofu.choice_probability([1.0], [[nan, 2.0]])[0],
        tofu.truth_ratio([1.0], [[nan, 2.0]])[0],
        tofu.truth_ratio_score([0.5, nan]),
        tofu.forget_truth_ratio_score([0.5, nan]),
        tofu.harmonic_mean([nan] * 8 + [0.0]),
        tofu.forget_quality([0.5, nan], [0.5, 0.6]),
        tofu.log10_forget_quality(nan),
    ]
    assert all(math.isnan(value) for value in values)


def test_quality_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="two samples"):
        tofu.forget_quality([], [0.5])
