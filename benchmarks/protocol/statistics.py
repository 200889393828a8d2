"""Medians over seeds of the worst stratum, their bootstrap intervals, and the choice of settings. Pure.

A sweep that never had a share counts as infinitely many epochs, so a median is infinite if more than half never had it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

DRAWS = 1000
LEVEL = 0.95
"""Confidence level of the intervals, which are percentile bootstraps (Efron 1979) over seeds."""
NEVER_COUNTS = 2.0
"""Where settings are compared, never having had the share counts as this many times the epochs of giving up."""


@dataclass(frozen=True)
class Estimate:
    """A median over seeds and its interval."""

    value: float
    low: float
    high: float


def worst_median(strata: Mapping[str, Sequence[float | None]], worst: Literal["most", "least"]) -> Estimate:
    """The worst stratum's median over seeds. `strata`: a value per seed, seeds in one order; None is infinite.

    `worst`: whether the most (epochs, seconds) or the least (hypervolume) is the worst. Seeds are drawn as a whole,
    with all of their strata. Raises ValueError without seeds.
    """
    values = np.array([[math.inf if it is None else it for it in each] for each in strata.values()], dtype=np.float64)
    if not values.size:
        raise ValueError("0 seeds: a median needs at least one; run more")
    draws = np.random.default_rng(0).integers(values.shape[1], size=(DRAWS, values.shape[1]))
    medians = np.median(values[:, draws], axis=2)
    ends = np.quantile(_worst(medians, worst), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(_worst(np.median(values, axis=1), worst)), float(ends[0]), float(ends[1]))


def _worst(medians: npt.NDArray[np.float64], worst: str) -> npt.NDArray[np.float64]:
    return np.asarray(medians.max(axis=0) if worst == "most" else medians.min(axis=0))


def chosen(costs: Mapping[str, Sequence[float]], given_up: Mapping[str, float]) -> int:
    """The candidate with the least cost over some tables; the first of equals, and the first without tables.

    `costs`: on each table the epochs of every candidate, infinite for never. `given_up`: on each table the epochs after
    which a sweep is given up. A candidate's cost is the geometric mean of its parts of each table's best.
    """
    if not costs:
        return 0
    rows = []
    for table, each in costs.items():
        finite = np.minimum(np.array(each, dtype=np.float64), NEVER_COUNTS * given_up[table])
        rows.append(np.log(np.maximum(finite, 1.0)) - math.log(max(finite.min(), 1.0)))
    return int(np.argmin(np.mean(rows, axis=0).round(9)))
