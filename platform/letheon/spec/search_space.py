"""A search space: its domains by method, its listed combinations, and a trial's hyper-parameters from chosen values.

Pure, and equal on every machine: draws depend on (search space, seed, number) alone, and use only raw PCG64 output,
which numpy keeps stable. Which values are worth a trial is decided in `letheon.searchers`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from letheon.journal import stratum_of
from letheon.spec.model import LogUniform, Scalar, SweepSpec, Uniform, values_of
from trainables.config import Hyperparameters
from trainables.methods import Method

MAX_COMBINATIONS = 100_000
SIGNIFICANT_DIGITS = 6

EXHAUSTIVE_SEARCHERS = ("grid", "surrogate", "optuna", "quasi_random")
"""Searchers that propose no listed configuration twice, so that they end in a space without ranges."""

Range: TypeAlias = Uniform | LogUniform
Values: TypeAlias = dict[str, Scalar]
Identity: TypeAlias = tuple[Any, ...]


class SearchSpace:
    """What a sweep may try. Values are by name and always include `method` and `forget_fraction`.

    `listed`: the only combinations that may be tried, such as the recorded ones of a table. Null: all.
    """

    def __init__(self, spec: SweepSpec, listed: Iterable[Values] | None = None) -> None:
        self.spec = spec
        self.known = spec.methods
        self._own = {name for method in self.known.values() for name in method.hyperparameters}
        self._listed = None if listed is None else tuple(sorted(listed, key=self._position))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(map(str, values_of(self.spec.search["method"])))

    @cached_property
    def combinations(self) -> tuple[Values, ...]:
        """Every combination of listed values, in the file's order, methods slowest; ranges are left out."""
        if self._listed is not None:
            return self._listed
        found: list[Values] = []
        for method in self.methods:
            lists = self.lists(method)
            values = product(*lists.values())
            found += [{"method": method, **dict(zip(lists, chosen, strict=True))} for chosen in values]
        return tuple(found)

    @property
    def combination_count(self) -> int:
        """The number of `combinations`, computed without listing them."""
        if self._listed is not None:
            return len(self._listed)
        return sum(math.prod(map(len, self.lists(method).values())) for method in self.methods)

    def lists(self, method: str) -> dict[str, tuple[Scalar, ...]]:
        """The method's listed hyper-parameters (all but `method` itself) and their values."""
        return {
            name: values_of(domain)
            for name, domain in self.spec.search.items()
            if name != "method" and not isinstance(domain, Uniform | LogUniform) and self._applies(name, method)
        }

    def ranges(self, method: str) -> dict[str, Range]:
        """The method's hyper-parameters that are searched in a range."""
        return {
            name: domain
            for name, domain in self.spec.search.items()
            if isinstance(domain, Uniform | LogUniform) and self._applies(name, method)
        }

    @property
    def finite(self) -> bool:
        """Whether there are no ranges, so that `combinations` is all there is to try."""
        return not any(self.ranges(method) for method in self.methods)

    def untried(self, tried: Collection[Identity]) -> dict[str, list[Values]]:
        """The combinations whose identity is not in `tried`, by stratum; strata without any are left out."""
        found: dict[str, list[Values]] = {}
        for identity, stratum, values in self._identified:
            if identity not in tried:
                found.setdefault(stratum, []).append(values)
        return found

    def has(self, values: Values) -> bool:
        """Whether a space without ranges has this combination."""
        return self.identity(values) in self._identities

    def _position(self, values: Values) -> tuple[int, ...]:
        """The place of a combination in the file's order. Raises ValueError if a value is not listed there."""
        others = (name for name in self.spec.search if name != "method")
        places = (values_of(self.spec.search[name]).index(values[name]) if name in values else -1 for name in others)
        return (self.methods.index(str(values["method"])), *places)

    @cached_property
    def _identities(self) -> frozenset[Identity]:
        return frozenset(identity for identity, _, _ in self._identified)

    @cached_property
    def _identified(self) -> list[tuple[Identity, str, Values]]:
        return [
            (self.identity(values), stratum_of(float(values["forget_fraction"])), values)
            for values in self.combinations
        ]

    def shuffled(self, seed: int, deck: int) -> tuple[int, ...]:
        """The positions of all combinations, in another order for each (seed, deck)."""
        return _shuffled(len(self.combinations), seed, deck)

    def drawn(self, method: str, seed: int, number: int) -> Values:
        """Independent uniform draws from the method's ranges, in the logarithm for logarithmic ones."""
        found: Values = {}
        for name, domain in self.ranges(method).items():
            draw = uniforms(1, seed, number, zlib.crc32(name.encode()))[0]
            found[name] = between(domain, float(draw), whole=self.is_whole(name))
        return found

    def identity(self, values: Mapping[str, Any]) -> Identity:
        """Equal for equal configurations, regardless of seed and of what is not searched."""
        return tuple(values.get(name) for name in self.spec.search)

    def hyperparameters(self, values: Mapping[str, Scalar], seed: int) -> Hyperparameters:
        """A trial's hyper-parameters: `values`, then the trial section, then the method's defaults."""
        method, trial = str(values["method"]), self.spec.trial
        common = {name: getattr(trial, name) for name in Hyperparameters.model_fields if hasattr(trial, name)}
        own: dict[str, float] = {}
        for name, declared in self.known[method].hyperparameters.items():
            value = values.get(name, declared.default)
            own[name] = int(value) if declared.whole else float(value)
        return Hyperparameters(**{**common, **values, **own, "seed": seed})

    def is_whole(self, name: str) -> bool:
        """Whether the hyper-parameter is a whole number, for any method that has it."""
        if name in Hyperparameters.model_fields:
            return Hyperparameters.model_fields[name].annotation is int
        return any(name in each.hyperparameters and each.hyperparameters[name].whole for each in self._searched)

    @cached_property
    def _searched(self) -> list[Method]:
        return [self.known[name] for name in self.methods if name in self.known]

    def _applies(self, name: str, method: str) -> bool:
        """Whether the method has this hyper-parameter; all methods have those that no method declares."""
        return name not in self._own or name in self.known[method].hyperparameters


def trial_count(spec: SweepSpec) -> int | None:
    """The most trials that the sweep starts, seeds included; None if only epochs or hours limit it."""
    space = SearchSpace(spec)
    ends_by_itself = spec.searcher.name in EXHAUSTIVE_SEARCHERS and not spec.unknown_methods and space.finite
    every = space.combination_count * len(spec.seeds) if ends_by_itself else None
    return min((count for count in (every, spec.budget.trials) if count is not None), default=None)


def trial_name(index: int) -> str:
    """`t007`."""
    return f"t{index:03d}"


def between(domain: Range, draw: float, whole: bool) -> float | int:
    """The point of the range at `draw` in [0, 1), rounded so that it prints and reloads as itself."""
    low, high = domain.bounds
    top = high + 1 if whole else high  # the interval of a whole number n is [n, n + 1)
    if isinstance(domain, LogUniform):
        value = math.exp(math.log(low) + draw * (math.log(top) - math.log(low)))
    else:
        value = low + draw * (top - low)
    if whole:
        return int(min(max(math.floor(value), low), high))
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)


def uniforms(count: int, *entropy: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(count,) float64 in [0, 1), the same on every machine for equal entropy."""
    bits = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count)
    return (np.asarray(bits, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=64)
def _shuffled(count: int, seed: int, deck: int) -> tuple[int, ...]:
    order = np.argsort(uniforms(count, seed, deck, zlib.crc32(b"deck")), kind="stable")
    return tuple(int(position) for position in order)
