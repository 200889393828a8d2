"""A Gaussian process over configurations: what a trial will be worth, and how sure that is. Pure arrays.

Few trials must say which hyper-parameters matter, so the length of each, what methods share, and the noise are chosen
by likelihood among a fixed set of draws. One model serves all strata: the forget fraction is one more input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SHAPES = 128
ABSENT = 0.9
"""What is shared where only one of two configurations has a hyper-parameter."""
MIDDLE = 0.5
KINDS = 0.3
"""What methods with and without a retain term share, of what two methods of one kind do."""


@dataclass(frozen=True)
class Inputs:
    """n points. `method`: (n,) numbers of methods; `kind`: (n,) whether it has a retain term; `values`: name -> (n,)
    places in the searched range, 0 to 1, NaN where the method has no such thing."""

    method: npt.NDArray[np.int64]
    kind: npt.NDArray[np.bool_]
    values: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.method)


class Shape(NamedTuple):
    """Lengths by input, how much two methods of one kind share, and the noise's share of the variance."""

    lengths: tuple[float, ...]
    shared: float
    noise: float


@lru_cache(maxsize=8)
def shapes(inputs: int) -> tuple[Shape, ...]:
    """The candidates, from a Sobol sequence: lengths .15 to 2 of the range, sharing .1 to .9, noise .003 to .1."""
    from scipy.stats.qmc import Sobol

    draws = Sobol(inputs + 2, scramble=True, rng=0).random(SHAPES)
    lengths = 0.15 * (2.0 / 0.15) ** draws[:, :inputs]
    shared, noise = 0.1 + 0.8 * draws[:, -2], 0.003 * (0.1 / 0.003) ** draws[:, -1]
    return tuple(Shape(tuple(map(float, lengths[i])), float(shared[i]), float(noise[i])) for i in range(SHAPES))


@dataclass(frozen=True)
class Pairs:
    """What each of n points has in common with each of m others, whatever the shape."""

    squares: Array
    other_method: npt.NDArray[np.bool_]
    factor: Array

    @staticmethod
    def of(one: Inputs, other: Inputs) -> Pairs:
        """(inputs, n, m) squared distances, and the (n, m) factors of what only one side has."""
        factor = np.where(one.kind[:, None] == other.kind[None, :], 1.0, KINDS)
        squares = np.zeros((len(one.values), len(one), len(other)))
        for i, (name, here) in enumerate(one.values.items()):
            there = other.values[name]
            lone = np.isnan(here)[:, None] != np.isnan(there)[None, :]
            # Absent values take the middle: with a distance of their own to every other the kernel would be none.
            squares[i] = (np.nan_to_num(here, nan=MIDDLE)[:, None] - np.nan_to_num(there, nan=MIDDLE)[None, :]) ** 2
            factor[lone] *= ABSENT
        return Pairs(squares, one.method[:, None] != other.method[None, :], factor)

    def correlations(self, shape: Shape) -> Array:
        """A product of what two points share in each input."""
        weights = -0.5 / np.square(shape.lengths)
        smooth = np.exp(np.tensordot(weights, self.squares, axes=1)) * self.factor
        return np.asarray(np.where(self.other_method, shape.shared * smooth, smooth))


@dataclass(frozen=True)
class Surrogate:
    """Fitted to values at n inputs."""

    inputs: Inputs
    factor: Array
    weights: Array
    mean: float
    deviation: float
    shape: Shape

    def predict(self, inputs: Inputs) -> tuple[Array, Array]:
        """Mean and standard deviation, (m,) each, of the value without noise."""
        from scipy.linalg import solve_triangular

        across = Pairs.of(inputs, self.inputs).correlations(self.shape)
        left = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        spread = np.sqrt(np.maximum(1.0 - (left**2).sum(axis=0), 1e-9))
        return self.mean + self.deviation * (across @ self.weights), self.deviation * spread


def fit(inputs: Inputs, values: Array) -> Surrogate:
    """The likeliest of the shapes. Raises ValueError for no value."""
    if not len(inputs):
        raise ValueError("0 values: a surrogate needs one at least; propose without it")
    mean, deviation = float(values.mean()), max(float(values.std()), 0.02)
    normal, pairs = (values - mean) / deviation, Pairs.of(inputs, inputs)
    found = ((*_fitted(pairs.correlations(shape), normal, shape.noise), shape) for shape in shapes(len(inputs.values)))
    _, factor, weights, shape = max(found, key=lambda it: it[0])
    return Surrogate(inputs, factor, weights, mean, deviation, shape)


def _fitted(correlations: Array, normal: Array, noise: float) -> tuple[float, Array, Array]:
    """Log likelihood up to a constant, Cholesky factor, and weights."""
    from scipy.linalg import cho_solve, cholesky

    correlations[np.diag_indices_from(correlations)] += noise
    factor = cholesky(correlations, lower=True, check_finite=False)
    weights = cho_solve((factor, True), normal, check_finite=False)
    return -0.5 * float(normal @ weights) - float(np.log(np.diag(factor)).sum()), factor, weights


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """(n,) of normal values over the best one so far (Jones, Schonlau & Welch 1998)."""
    from scipy.special import ndtr

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * ndtr(z) + density))


def scalarised(points: Array, direction: tuple[float, float]) -> float:
    """The best of (p, 2) points along a direction: max over points of min(x / a, y / b), squared; 0 if none is above 0.

    Over directions spread evenly on the quarter circle its mean is the hypervolume above (0, 0), up to a constant
    (Zhang & Golovin 2020, arXiv 2006.04655), so a whole trajectory counts as the set of candidates that it is.
    """
    along = np.minimum(points[:, 0] / direction[0], points[:, 1] / direction[1])
    return float(np.clip(along.max(initial=0.0), 0.0, None) ** 2)
