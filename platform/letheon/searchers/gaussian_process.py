"""A Gaussian process over configurations: the expected value of a trial and its uncertainty. Pure arrays.

With few trials the kernel's parameters (a length per hyper-parameter, the similarity of methods, the noise) are
uncertain, so predictions are averaged over a fixed set of draws, weighted by likelihood. One model serves all strata:
the forget fraction is one more input. Values may have several columns, which share the kernel.
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

KERNELS = 128
"""Number of draws of kernel parameters."""
MAX_KERNELS, NEGLIGIBLE = 12, 0.005
"""The most kernels that are averaged, and the least likelihood of one as a part of the best one's."""
ONE_SIDED = 0.9
"""Factor of the correlation for each hyper-parameter that only one of two configurations has."""
MIDDLE = 0.5
"""The place of a hyper-parameter that a configuration does not have."""
OTHER_KIND = 0.3
"""Factor of the correlation between methods with and without a retain term."""


@dataclass(frozen=True)
class Inputs:
    """n points. `method`: (n,) indices of methods; `kind`: (n,) whether each has a retain term; `values`: name -> (n,)
    places in the searched range, 0 to 1, NaN if the method lacks the hyper-parameter."""

    method: npt.NDArray[np.int64]
    kind: npt.NDArray[np.bool_]
    values: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.method)


class KernelParams(NamedTuple):
    """Length scales by input, the correlation of two methods of one kind, and the noise as a part of the variance."""

    lengths: tuple[float, ...]
    shared: float
    noise: float


@lru_cache(maxsize=8)
def kernel_draws(inputs: int) -> tuple[KernelParams, ...]:
    """Draws from a Sobol sequence: lengths .15 to 2 of the range, correlation .1 to .9, noise .003 to .1."""
    from scipy.stats.qmc import Sobol

    draws = Sobol(inputs + 2, scramble=True, rng=0).random(KERNELS)
    lengths = 0.15 * (2.0 / 0.15) ** draws[:, :inputs]
    shared, noise = 0.1 + 0.8 * draws[:, -2], 0.003 * (0.1 / 0.003) ** draws[:, -1]
    return tuple(KernelParams(tuple(map(float, lengths[i])), float(shared[i]), float(noise[i])) for i in range(KERNELS))


@dataclass(frozen=True)
class Pairs:
    """Comparisons of n points with m others that do not depend on the kernel's parameters.

    `squares`: (inputs, n, m) squared distances; `other_method`: (n, m) whether the methods differ; `factor`: (n, m)
    factors for one-sided hyper-parameters and for different kinds of methods.
    """

    squares: Array
    other_method: npt.NDArray[np.bool_]
    factor: Array

    @staticmethod
    def of(one: Inputs, other: Inputs) -> Pairs:
        factor = np.where(one.kind[:, None] == other.kind[None, :], 1.0, OTHER_KIND)
        squares = np.zeros((len(one.values), len(one), len(other)))
        for i, (name, here) in enumerate(one.values.items()):
            there = other.values[name]
            one_sided = np.isnan(here)[:, None] != np.isnan(there)[None, :]
            # Absent values take the middle: with a distance of their own the kernel would not be positive definite.
            squares[i] = (np.nan_to_num(here, nan=MIDDLE)[:, None] - np.nan_to_num(there, nan=MIDDLE)[None, :]) ** 2
            factor[one_sided] *= ONE_SIDED
        return Pairs(squares, one.method[:, None] != other.method[None, :], factor)

    def correlations(self, params: KernelParams) -> Array:
        """(n, m) squared-exponential kernel, times the factors."""
        weights = -0.5 / np.square(params.lengths)
        smooth = np.exp(np.tensordot(weights, self.squares, axes=1)) * self.factor
        return np.asarray(np.where(self.other_method, params.shared * smooth, smooth))


@dataclass(frozen=True)
class FittedKernel:
    """One kernel with its share of the likelihood. `factor`: (n, n) Cholesky factor; `normal`: (n, d) the values in
    standard units; `weights`: (n, d) their weights in a prediction."""

    params: KernelParams
    share: float
    factor: Array
    normal: Array
    weights: Array

    def predict(self, inputs: Inputs, known: Inputs) -> tuple[Array, Array]:
        """(m, d) means and (m, 1) deviations in standard units."""
        from scipy.linalg import solve_triangular

        across = Pairs.of(inputs, known).correlations(self.params)
        left = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        return across @ self.weights, np.sqrt(np.maximum(1.0 - (left**2).sum(axis=0), 1e-9))[:, None]


@dataclass(frozen=True)
class Surrogate:
    """Fitted to (n, d) values at n inputs: an average over likely kernels. `mean`, `deviation`: (d,) of the values."""

    inputs: Inputs
    parts: Sequence[FittedKernel]
    mean: Array
    deviation: Array

    def predict(self, inputs: Inputs) -> tuple[Array, Array]:
        """Mean and standard deviation, (m, d) each, of the values without noise."""
        found = [(part.share, *part.predict(inputs, self.inputs)) for part in self.parts]
        mean = np.sum([share * each for share, each, _ in found], axis=0)
        square = np.sum([share * (each**2 + deviation**2) for share, each, deviation in found], axis=0)
        spread = np.sqrt(np.maximum(square - mean**2, 1e-9))
        return self.mean + self.deviation * mean, self.deviation * spread

    def with_pending(self, inputs: Inputs, reported: Array) -> Surrogate:
        """Add p inputs of running trials, so that the next proposal keeps away from them.

        Each counts with its expected values, or with the (p, d) values `reported` so far where those are higher.
        """
        known, floor = joined(self.inputs, inputs), (reported - self.mean) / self.deviation
        pairs = Pairs.of(known, known)
        parts = []
        for part in self.parts:
            assumed = np.maximum(part.predict(inputs, self.inputs)[0], floor)
            normal = np.concatenate([part.normal, assumed])
            _, factor, weights = _factorise(pairs.correlations(part.params), normal, part.params.noise)
            parts.append(FittedKernel(part.params, part.share, factor, normal, weights))
        return Surrogate(known, parts, self.mean, self.deviation)

    def improvement(self, inputs: Inputs, best: Array) -> Array:
        """(m,) expected improvement over `best`, (1, d) or (m, d), averaged over columns and kernels."""
        score = np.zeros(len(inputs))
        for part in self.parts:
            mean, deviation = part.predict(inputs, self.inputs)
            each = expected_improvement(self.mean + self.deviation * mean, self.deviation * deviation, best)
            score += part.share * each.mean(axis=1)
        return score


def joined(one: Inputs, other: Inputs) -> Inputs:
    """The points of both, which have the same hyper-parameters."""
    values = {name: np.concatenate([here, other.values[name]]) for name, here in one.values.items()}
    method, kind = np.concatenate([one.method, other.method]), np.concatenate([one.kind, other.kind])
    return Inputs(method, kind, values)


def fit(inputs: Inputs, values: Array) -> Surrogate:
    """Fit to (n, d) values: the likeliest kernels, weighted by likelihood. Raises ValueError for n = 0."""
    if not len(inputs):
        raise ValueError("0 values: a surrogate needs at least one; propose without it")
    mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 0.02)
    normal, pairs = (values - mean) / deviation, Pairs.of(inputs, inputs)
    draws = kernel_draws(len(inputs.values))
    found = [(*_factorise(pairs.correlations(params), normal, params.noise), params) for params in draws]
    found = sorted(found, key=lambda it: -it[0])[:MAX_KERNELS]
    likely = [(math.exp(it[0] - found[0][0]), *it[1:]) for it in found if it[0] > found[0][0] + math.log(NEGLIGIBLE)]
    total = sum(it[0] for it in likely)
    parts = [FittedKernel(params, share / total, factor, normal, weights) for share, factor, weights, params in likely]
    return Surrogate(inputs, parts, mean, deviation)


def _factorise(correlations: Array, normal: Array, noise: float) -> tuple[float, Array, Array]:
    """Log likelihood up to a constant, Cholesky factor and weights. Changes `correlations`.

    The likelihood is averaged over columns, which are of the same trials and therefore not independent.
    """
    from scipy.linalg import cho_solve, cholesky

    correlations[np.diag_indices_from(correlations)] += noise
    factor = cholesky(correlations, lower=True, check_finite=False)
    weights = cho_solve((factor, True), normal, check_finite=False)
    mismatch = float((normal * weights).sum(axis=0).mean())
    return -0.5 * mismatch - float(np.log(np.diag(factor)).sum()), factor, weights


def expected_improvement(mean: Array, deviation: Array, best: Array) -> Array:
    """Expected improvement of normal values over `best` (Jones, Schonlau & Welch 1998); the arrays are broadcast."""
    from scipy.special import ndtr

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * ndtr(z) + density))


def scalarised(points: Array, directions: Array) -> Array:
    """(d,) power of the max over (p, k) points of min(x / a, y / b, …), for each of (d, k) directions (a, b, …); at
    least 0. The power is the number k of objectives.

    Its mean over directions spread evenly on the positive part of the circle (or sphere) is the hypervolume above the
    origin, up to a constant (Zhang & Golovin 2020, arXiv 2006.04655). A whole trajectory thus counts as a set of
    candidates, and the mean of the expected improvements is the expected improvement of the hypervolume.
    """
    along = (points[:, None, :] / directions[None, :, :]).min(axis=2)
    return np.asarray(np.clip(along.max(axis=0, initial=0.0), 0.0, None) ** directions.shape[1])
