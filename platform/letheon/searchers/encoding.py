"""Configurations as numbers between 0 and 1, each hyper-parameter in its searched range. Knows domains, no trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from letheon.searchers.gaussian_process import Inputs
from letheon.spec.model import LogUniform, Scalar, Uniform, values_of
from letheon.spec.search_space import SearchSpace
from trainables.methods import METHODS

LOG_RATIO = 5.0
"""Listed values are taken as logarithmic if the largest is at least this many times the smallest."""


class Encoding:
    """Of one search space. Values outside of it (an earlier sweep's) keep their place beyond 0 or 1."""

    def __init__(self, space: SearchSpace) -> None:
        self._methods = {name: i for i, name in enumerate(METHODS)}
        self._places = {name: _Axis(domain) for name, domain in space.spec.search.items() if name != "method"}

    def place(self, name: str, value: Scalar | None) -> float:
        """Where a value lies in its range."""
        return self._places[name].place(value)

    def inputs(self, configs: Sequence[Mapping[str, Any]]) -> Inputs:
        """One row for each configuration; what it does not have is NaN."""
        methods = [str(config["method"]) for config in configs]
        return Inputs(
            method=np.array([self._methods[method] for method in methods], dtype=np.int64),
            kind=np.array([METHODS[method].retain != "none" for method in methods], dtype=np.bool_),
            values={
                name: np.array([axis.place(config.get(name)) for config in configs], dtype=np.float64)
                for name, axis in self._places.items()
            },
        )


class _Axis:
    """Places of one hyper-parameter's values."""

    def __init__(self, domain: Any) -> None:
        if isinstance(domain, LogUniform | Uniform):
            low, high = domain.loguniform if isinstance(domain, LogUniform) else domain.uniform
            self._log = isinstance(domain, LogUniform)
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
