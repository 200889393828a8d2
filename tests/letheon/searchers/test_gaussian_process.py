"""The Gaussian process and the scores of proposals, against the same mathematics computed differently."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.pareto.geometry import ParetoSet
from letheon.searchers.bayesian import DIRECTIONS
from letheon.searchers.gaussian_process import (
    Array,
    Inputs,
    Pairs,
    expected_improvement,
    fit,
    kernel_draws,
    scalarised,
)


def line(places: Array) -> Inputs:
    """One method with one hyper-parameter."""
    return Inputs(np.zeros(len(places), np.int64), np.zeros(len(places), np.bool_), {"learning_rate": places})


def random_inputs(seed: int, count: int) -> Inputs:
    """Conditional hyper-parameters: some methods lack some, and some values are absent at random."""
    random = np.random.default_rng(seed)
    method = random.integers(0, 4, count)
    values = {name: random.random(count).round(1) for name in ("learning_rate", "beta", "retain_weight")}
    values["beta"][method < 2] = np.nan
    values["retain_weight"][random.random(count) < 0.3] = np.nan
    return Inputs(method, method % 2 == 0, values)


def test_it_interpolates_data_without_noise() -> None:
    places = np.linspace(0, 1, 13)
    surrogate = fit(line(places), np.sin(5 * places)[:, None])
    between = places[:-1] + 1 / 24
    assert np.abs(surrogate.predict(line(places))[0][:, 0] - np.sin(5 * places)).max() < 0.05
    assert np.abs(surrogate.predict(line(between))[0][:, 0] - np.sin(5 * between)).max() < 0.1


def test_it_is_less_sure_away_from_data() -> None:
    places = np.linspace(0, 0.3, 7)
    _, deviation = fit(line(places), np.sin(9 * places)[:, None]).predict(line(np.array([0.15, 0.45, 0.7, 1.0])))
    assert (np.diff(deviation[:, 0]) > 0).all()


def test_without_values_there_is_no_model() -> None:
    with pytest.raises(ValueError, match="needs at least one"):
        fit(line(np.array([])), np.empty((0, 2)))


@given(st.integers(0, 10**6), st.integers(1, 25), st.integers(0, 127))
def test_kernels_are_positive_definite(seed: int, count: int, number: int) -> None:
    inputs = random_inputs(seed, count)
    kernel = Pairs.of(inputs, inputs).correlations(kernel_draws(3)[number])
    assert np.array_equal(kernel, kernel.T)
    assert np.diag(kernel) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(kernel).min() > -1e-9


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_predictions_are_numbers(seed: int, count: int) -> None:
    inputs = random_inputs(seed, count)
    values = np.random.default_rng(seed).random((count, 3))
    mean, deviation = fit(inputs, values).predict(random_inputs(seed + 1, 20))
    assert mean.shape == deviation.shape == (20, 3)
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()


@given(st.floats(-2, 2), st.floats(0.05, 2), st.floats(-2, 2))
def test_expected_improvement_is_the_integral(mean: float, deviation: float, best: float) -> None:
    z = np.linspace(-9, 9, 20_001)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    integral = np.trapezoid(np.maximum(mean + deviation * z - best, 0) * density, z)
    found = expected_improvement(np.array([mean]), np.array([deviation]), np.array([best]))[0]
    assert found == pytest.approx(integral, abs=1e-5)


def mean_scalarised(points: Array, count: int = 700) -> float:
    angles = (np.arange(count) + 0.5) / count * math.pi / 2
    return float(scalarised(points, np.stack([np.cos(angles), np.sin(angles)], axis=1)).mean())


@pytest.mark.parametrize("seed", range(6))
def test_over_all_directions_it_is_the_hypervolume(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.random((5, 2)), random.random((3, 2)) * 0.7
    ratio = ParetoSet(map(tuple, one)).hypervolume((0, 0)) / ParetoSet(map(tuple, other)).hypervolume((0, 0))
    assert mean_scalarised(one) / mean_scalarised(other) == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_over_all_directions_of_space_it_is_the_volume(seed: int) -> None:
    random = np.random.default_rng(seed)
    directions = np.abs(random.standard_normal((40_000, 3)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    one, other = random.random((5, 3)), random.random((3, 3)) * 0.7
    means = [float(scalarised(points, directions).mean()) for points in (one, other)]
    volumes = [ParetoSet(map(tuple, points)).hypervolume((0, 0, 0)) for points in (one, other)]
    assert means[0] / means[1] == pytest.approx(volumes[0] / volumes[1], rel=0.05)


def test_directions_are_unit_vectors_off_the_axes() -> None:
    for objectives, directions in DIRECTIONS.items():
        assert directions.shape[1] == objectives
        assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0)
        assert directions.min() > 0.34
        middle = directions.mean(axis=0)
        assert middle == pytest.approx(np.full(objectives, middle[0]))
        assert len({tuple(np.round(each, 9)) for each in directions}) == len(directions)


def test_points_below_the_origin_are_worth_nothing() -> None:
    direction = np.array([[0.6, 0.8]])
    assert scalarised(np.array([[-1.0, 0.5], [0.5, -1.0]]), direction) == [0.0]
    assert scalarised(np.empty((0, 2)), direction) == [0.0]


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_the_average_over_kernels_keeps_their_moments(seed: int, count: int) -> None:
    """Values drawn from the kernels by their shares have the predicted mean and deviation."""
    values = np.random.default_rng(seed).random((count, 2))
    surrogate, inputs = fit(random_inputs(seed, count), values), random_inputs(seed + 1, 5)
    assert sum(part.share for part in surrogate.parts) == pytest.approx(1.0)
    mean, deviation = surrogate.predict(inputs)
    each = [(part.share, *part.predict(inputs, surrogate.inputs)) for part in surrogate.parts]
    first = sum(share * (surrogate.mean + surrogate.deviation * m) for share, m, _ in each)
    second = sum(
        share * ((surrogate.mean + surrogate.deviation * m) ** 2 + (surrogate.deviation * d) ** 2)
        for share, m, d in each
    )
    assert np.allclose(mean, first)
    assert np.allclose(deviation**2, second - first**2, atol=1e-5)


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_running_trials_are_not_tried_again(seed: int, count: int) -> None:
    """At their expected values, running trials lower their own expected improvement; higher reported values count."""
    values = np.random.default_rng(seed).random((count, 2))
    surrogate, running = fit(random_inputs(seed, count), values), random_inputs(seed + 1, 3)
    best = values.max(axis=0)[None, :]
    nothing = np.full((3, 2), -9.0)
    with_pending = surrogate.with_pending(running, nothing)
    assert (with_pending.improvement(running, best) <= surrogate.improvement(running, best) + 1e-9).all()
    assert np.allclose(with_pending.predict(running)[0], surrogate.predict(running)[0], atol=0.02)
    reported = np.full((3, 2), 2.0)
    assert (surrogate.with_pending(running, reported).predict(running)[0] > surrogate.predict(running)[0]).all()
