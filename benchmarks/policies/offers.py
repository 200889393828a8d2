"""The configurations that a table still offers, by stratum, and the one nearest to a library's suggestion.

A table holds some configurations only. A library that suggests one twice would run it again for nothing, so every
policy gets the nearest one that nobody has tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from letheon.journal import stratum_of
from letheon.searchers.encoding import Encoding
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace, Values

OTHER_METHOD = 100.0


class Offers:
    """`remaining`: untried configurations by stratum, in one order for each seed."""

    def __init__(self, spec: SweepSpec, seed: int) -> None:
        self.space = SearchSpace(spec)
        self._encoding = Encoding(self.space)
        every = self.space.combinations
        self.remaining: dict[str, list[Values]] = {stratum_of(fraction): [] for fraction in spec.fractions}
        for i in np.random.default_rng(seed).permutation(len(every)):
            self.remaining[stratum_of(float(every[i]["forget_fraction"]))].append(every[i])
        self.every = {stratum: tuple(values) for stratum, values in self.remaining.items()}

    def take(self, stratum: str, wanted: Mapping[str, Any] | None) -> Values | None:
        """The wanted configuration or else the nearest untried one of the stratum; the next of the order for None.

        None if the stratum has none left. Unwanted hyper-parameters of `wanted` are ignored.
        """
        left = self.remaining[stratum]
        if not left:
            return None
        chosen = 0 if wanted is None else min(range(len(left)), key=lambda i: self.distance(left[i], wanted))
        return left.pop(chosen)

    def distance(self, values: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
        """The sum over hyper-parameters of `values`: parts of each range, 1 for another name. Another method is farther
        than anything within one."""
        total = 0.0
        for name, value in values.items():
            other = wanted.get(name)
            if other is None or value == other or name == "forget_fraction":
                continue
            apart = math.nan
            if name != "method":
                apart = abs(self._encoding.place(name, value) - self._encoding.place(name, other))
            total += (OTHER_METHOD if name == "method" else 1.0) if math.isnan(apart) else apart
        return total

    def lists(self, stratum: str) -> dict[str, Sequence[Any]]:
        """Every hyper-parameter with more than one value in the stratum, and its values in ascending order."""
        found: dict[str, set[Any]] = {}
        for values in self.every[stratum]:
            for name, value in values.items():
                found.setdefault(name, set()).add(value)
        del found["forget_fraction"]
        return {name: sorted(values) for name, values in found.items() if len(values) > 1}
