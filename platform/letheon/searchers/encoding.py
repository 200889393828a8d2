"""Configurations as numbers: each hyper-parameter by its place in the searched range, from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from letheon.searchers.gaussian_process import Inputs
from letheon.spec.model import Domain, LogUniform, Scalar, Uniform, values_of
from letheon.spec.search_space import SearchSpace, Values

LOG_RATIO = 5.0
"""Listed values count as logarithmic if the largest is at least this many times the smallest."""


class Encoding:
    """The encoding of one search space. Values outside of it (from an earlier sweep) lie below 0 or above 1."""

    def __init__(self, space: SearchSpace) -> None:
        self._known = space.known
        self._methods = {name: i for i, name in enumerate(space.known)}
        self._axes = {name: _Axis(domain) for name, domain in space.spec.search.items() if name != "method"}

    def place(self, name: str, value: Scalar | None) -> float:
        """The place of a value in its range; NaN for one that is not a number."""
        return self._axes[name].place(value)

    def nearest(self, values: Mapping[str, Scalar], among: Iterable[Values]) -> Values:
        """The nearest of the combinations, the first of equals."""
        return min(among, key=lambda other: self._distance(values, other))

    def _distance(self, one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
        """Sum of distances by hyper-parameter; 1 for names, and for values that only one side has."""
        total = float(one["method"] != other["method"])
        for name, axis in self._axes.items():
            here, there = one.get(name), other.get(name)
            if here != there:
                apart = abs(axis.place(here) - axis.place(there))
                total += 1.0 if math.isnan(apart) else apart
        return total

    def inputs(self, configs: Sequence[Mapping[str, Any]]) -> Inputs:
        """One point per configuration; hyper-parameters that it does not have are NaN."""
        methods = [str(config["method"]) for config in configs]
        return Inputs(
            method=np.array([self._methods[method] for method in methods], dtype=np.int64),
            kind=np.array([self._known[method].retain != "none" for method in methods], dtype=np.bool_),
            values={
                name: np.array([axis.place(config.get(name)) for config in configs], dtype=np.float64)
                for name, axis in self._axes.items()
            },
        )


class _Axis:
    """Scales the values of one hyper-parameter."""

    def __init__(self, domain: Domain) -> None:
        if isinstance(domain, LogUniform | Uniform):
            (low, high), self._log = domain.bounds, isinstance(domain, LogUniform)
        else:
            numbers = [float(value) for value in values_of(domain) if isinstance(value, int | float)]
            low, high = min(numbers, default=0.0), max(numbers, default=0.0)
            self._log = low > 0 and high >= LOG_RATIO * low
        self._low, self._high = self._scaled(low), self._scaled(high)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._log else value

    def place(self, value: Scalar | None) -> float:
        if value is None or isinstance(value, str) or (self._log and value <= 0):
            return math.nan
        return (self._scaled(float(value)) - self._low) / ((self._high - self._low) or 1.0)
