"""A Gaussian process over configurations: what a trial will be worth, and how sure that is. Pure arrays.

Few trials must say which hyper-parameters matter, so the length of each, what methods share, and the noise are weighed
by likelihood among a fixed set of draws. One model serves all strata: the forget fraction is one more input. Values may
have several columns, which share everything but the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SHAPES = 128
ABSENT = 0.9
"""What is shared where only one of two configurations has a hyper-parameter."""
NEGLIGIBLE = 0.005
MOST_SHAPES = 12
"""So many shapes are averaged over at most, and none that is less likely than `NEGLIGIBLE` of the likeliest."""
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
class Fitted:
    """One shape with its share of belief. `factor`: (n, n) Cholesky factor; `normal`, `weights`: (n, d), in standard
    units, the values and what they are multiplied with in a prediction."""

    shape: Shape
    share: float
    factor: Array
    normal: Array
    weights: Array

    def predict(self, inputs: Inputs, known: Inputs) -> tuple[Array, Array]:
        """(m, d) means and (m, 1) deviations in standard units."""
        from scipy.linalg import solve_triangular

        across = Pairs.of(inputs, known).correlations(self.shape)
        left = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        return across @ self.weights, np.sqrt(np.maximum(1.0 - (left**2).sum(axis=0), 1e-9))[:, None]


@dataclass(frozen=True)
class Surrogate:
    """Fitted to (n, d) values at n inputs: an average over likely shapes. `mean`, `deviation`: (d,) standard units."""

    inputs: Inputs
    parts: Sequence[Fitted]
    mean: Array
    deviation: Array

    def predict(self, inputs: Inputs) -> tuple[Array, Array]:
        """Mean and standard deviation, (m, d) each, of the values without noise."""
        found = [(part.share, *part.predict(inputs, self.inputs)) for part in self.parts]
        mean = np.sum([share * each for share, each, _ in found], axis=0)
        square = np.sum([share * (each**2 + deviation**2) for share, each, deviation in found], axis=0)
        spread = np.sqrt(np.maximum(square - mean**2, 1e-9))
        return self.mean + self.deviation * mean, self.deviation * spread

    def with_pending(self, inputs: Inputs, shown: Array) -> Surrogate:
        """With p more inputs that are still being tried: each is taken for what is expected of it, or for the (p, d)
        values that it has `shown` where those are higher. What is next will then keep away from them."""
        known, floor = joined(self.inputs, inputs), (shown - self.mean) / self.deviation
        pairs = Pairs.of(known, known)
        parts = []
        for part in self.parts:
            believed = np.maximum(part.predict(inputs, self.inputs)[0], floor)
            normal = np.concatenate([part.normal, believed])
            _, factor, weights = _fitted(pairs.correlations(part.shape), normal, part.shape.noise)
            parts.append(Fitted(part.shape, part.share, factor, normal, weights))
        return Surrogate(known, parts, self.mean, self.deviation)

    def improvement(self, inputs: Inputs, best: Array) -> Array:
        """(m,) expected improvement over the (m, d) best values so far, averaged over columns and shapes."""
        score = np.zeros(len(inputs))
        for part in self.parts:
            mean, deviation = part.predict(inputs, self.inputs)
            each = expected_improvement(self.mean + self.deviation * mean, self.deviation * deviation, best)
            score += part.share * each.mean(axis=1)
        return score


def joined(one: Inputs, other: Inputs) -> Inputs:
    """The points of both, which have the same inputs."""
    values = {name: np.concatenate([here, other.values[name]]) for name, here in one.values.items()}
    method, kind = np.concatenate([one.method, other.method]), np.concatenate([one.kind, other.kind])
    return Inputs(method, kind, values)


def fit(inputs: Inputs, values: Array) -> Surrogate:
    """The likely shapes, each with its share of the likelihood. `values`: (n, d). Raises ValueError for no value."""
    if not len(inputs):
        raise ValueError("0 values: a surrogate needs one at least; propose without it")
    mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 0.02)
    normal, pairs = (values - mean) / deviation, Pairs.of(inputs, inputs)
    found = [(*_fitted(pairs.correlations(shape), normal, shape.noise), shape) for shape in shapes(len(inputs.values))]
    found = sorted(found, key=lambda it: -it[0])[:MOST_SHAPES]
    likely = [(math.exp(it[0] - found[0][0]), *it[1:]) for it in found if it[0] > found[0][0] + math.log(NEGLIGIBLE)]
    total = sum(it[0] for it in likely)
    parts = [Fitted(shape, share / total, factor, normal, weights) for share, factor, weights, shape in likely]
    return Surrogate(inputs, parts, mean, deviation)


def _fitted(correlations: Array, normal: Array, noise: float) -> tuple[float, Array, Array]:
    """Log likelihood up to a constant (of the columns' average: they tell of the same trials), Cholesky factor, and
    weights."""
    from scipy.linalg import cho_solve, cholesky

    correlations[np.diag_indices_from(correlations)] += noise
    factor = cholesky(correlations, lower=True, check_finite=False)
    weights = cho_solve((factor, True), normal, check_finite=False)
    fits = float((normal * weights).sum(axis=0).mean())
    return -0.5 * fits - float(np.log(np.diag(factor)).sum()), factor, weights


def expected_improvement(mean: Array, deviation: Array, best: Array) -> Array:
    """Of normal values over the best so far (Jones, Schonlau & Welch 1998); all three are broadcast."""
    from scipy.special import ndtr

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * ndtr(z) + density))


def scalarised(points: Array, directions: Array) -> Array:
    """(d,) the best of (p, 2) points along each of (d, 2) directions (a, b): max over points of min(x / a, y / b),
    squared; 0 if none is above 0.

    Over directions spread evenly on the quarter circle its mean is the hypervolume above (0, 0), up to a constant
    (Zhang & Golovin 2020, arXiv 2006.04655), so a whole trajectory counts as the set of candidates that it is, and the
    mean of the expected improvements is the expected improvement of the hypervolume.
    """
    along = np.minimum(points[:, :1] / directions[:, 0], points[:, 1:] / directions[:, 1])
    return np.asarray(np.clip(along.max(axis=0, initial=0.0), 0.0, None) ** 2)
