"""The configurations that a table still offers, by stratum, and the one nearest to a library's suggestion.

A table holds some configurations only. A library that suggests one twice would run it again for nothing, so every
policy gets the nearest one that nobody has tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from letheon.journal import stratum_of
from letheon.searchers.encoding import Encoding
from letheon.spec.search_space import SearchSpace, Values


class Offers:
    """`remaining`: untried configurations by stratum, in one order for each seed. `every`: with the tried ones."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space, self._encoding = space, Encoding(space)
        every = space.combinations
        self.remaining: dict[str, list[Values]] = {stratum_of(fraction): [] for fraction in space.spec.fractions}
        for i in np.random.default_rng(seed).permutation(len(every)):
            self.remaining[stratum_of(float(every[i]["forget_fraction"]))].append(every[i])
        self.every = {stratum: tuple(values) for stratum, values in self.remaining.items()}

    def take(self, stratum: str, wanted: Mapping[str, Any] | None) -> Values | None:
        """The wanted configuration or else the nearest untried one, of its method if that has one left.

        The next of the order for None. None if the stratum has none left. What the wanted method does not have is
        ignored.
        """
        left = self.remaining[stratum]
        if not left:
            return None
        if wanted is None:
            return left.pop(0)
        own = [values for values in left if values["method"] == wanted["method"]]
        names = (own or left)[0]
        asked: Values = {name: wanted[name] for name in names if name in wanted}
        chosen = self._encoding.nearest({**asked, "forget_fraction": names["forget_fraction"]}, own or left)
        left.remove(chosen)
        return chosen

    def lists(self, stratum: str) -> dict[str, Sequence[Any]]:
        """Every hyper-parameter with more than one value in the stratum, and its values in ascending order."""
        found: dict[str, set[Any]] = {}
        for values in self.every[stratum]:
            for name, value in values.items():
                found.setdefault(name, set()).add(value)
        del found["forget_fraction"]
        return {name: sorted(values) for name, values in found.items() if len(values) > 1}
