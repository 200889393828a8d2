"""Combinations of two gradients, and the update of the multiplier: pure functions, tested on random vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from trainables.methods import METHODS
from trainables.methods.base import Products
from trainables.methods.gru import rectified
from trainables.methods.pdu import dual_ascent

Vector = NDArray[np.float64]
# Rounded: squares of entries below 1e-160 are 0, which is another test.
vectors = arrays.arrays(np.float64, 4, elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 6)))
scales = st.floats(1e-6, 1e6)


def products(forget: Vector, retain: Vector) -> Products:
    return Products(float(forget @ forget), float(retain @ retain), float(forget @ retain))


def length(vector: Vector) -> float:
    return float(np.sqrt(vector @ vector))


def step(name: str, forget: Vector, retain: Vector) -> Vector:
    """The gradient that a method makes of two."""
    combine = METHODS[name].combine
    assert combine is not None
    a, b = combine(products(forget, retain), {})
    return a * forget + b * retain


@given(vectors, vectors)
def test_gru_is_the_sum_where_nothing_conflicts(forget: Vector, retain: Vector) -> None:
    assume(forget @ retain >= 0)
    assert rectified(products(forget, retain), {}) == (1.0, 1.0)


@given(vectors, vectors)
def test_gru_removes_the_conflict_and_nothing_else(forget: Vector, retain: Vector) -> None:
    """The rest of the forget gradient is orthogonal to the retain gradient and as near to the whole as can be."""
    assume(forget @ retain < 0 and length(retain) > 1e-3)
    left = step("gru", forget, retain) - retain
    scale = length(forget) + length(retain)
    assert abs(left @ retain) <= 1e-9 * scale * length(retain)
    cosine = forget @ retain / length(retain)
    assert length(left - forget) == pytest.approx(abs(cosine), rel=1e-6, abs=1e-9 * scale)
    assert left @ forget >= -1e-9 * scale**2


@given(vectors, vectors)
def test_ngdiff_makes_both_gradients_unit_vectors(forget: Vector, retain: Vector) -> None:
    """So the step agrees with both: it lowers (or leaves) the retain loss and the forget loss that is minimised."""
    assume(min(length(forget), length(retain)) > 1e-3)
    found = step("ngdiff", forget, retain)
    np.testing.assert_allclose(found, forget / length(forget) + retain / length(retain), rtol=1e-9, atol=1e-12)
    assert found @ forget >= -1e-9 * length(forget)
    assert found @ retain >= -1e-9 * length(retain)


@given(vectors)
def test_a_gradient_that_is_zero_is_safe(other: Vector) -> None:
    zero = np.zeros_like(other)
    for forget, retain in ((zero, other), (other, zero), (zero, zero)):
        for name in ("gru", "ngdiff"):
            assert np.isfinite(step(name, forget, retain)).all()
    np.testing.assert_array_equal(step("gru", other, zero), other)
    np.testing.assert_array_equal(step("gru", zero, other), other)


def test_a_retain_gradient_whose_square_underflows_counts_as_zero() -> None:
    assert rectified(Products(forget=4.0, retain=0.0, inner=-1e-200), {}) == (1.0, 1.0)


def test_a_nan_gradient_stays_nan() -> None:
    for name in ("gru", "ngdiff"):
        assert np.isnan(step(name, np.full(4, np.nan), np.ones(4))).all()


VALUES = {"epsilon": 0.3, "dual_step": 5.0, "retain_weight": 100.0}
weights = st.floats(0, 1e6)


@given(weights, st.floats(0, 1e3))
def test_the_multiplier_follows_the_constraint_and_is_never_negative(weight: float, loss: float) -> None:
    after = dual_ascent(weight, loss, VALUES)
    assert after >= 0
    assert after == pytest.approx(max(0.0, weight + 5.0 * (loss - 0.3)), rel=1e-12)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_nonfinite_retain_loss_does_not_change_the_multiplier(loss: float) -> None:
    assert dual_ascent(3.0, loss, VALUES) == 3.0
