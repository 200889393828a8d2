"""A search space: its domains by method, its listed combinations, and a trial's hyper-parameters from chosen values.

Pure, and equal on every machine: draws depend on (search space, seed, number) alone, and only raw PCG64 output is used,
which numpy keeps stable. Which values are worth a trial is the searchers' business.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias, get_args

import numpy as np

from letheon.journal import stratum_of
from letheon.spec.model import Choice, LogUniform, Scalar, SweepSpec, Uniform, values_of
from trainables.config import Hyperparameters
from trainables.methods import METHODS

MAX_COMBINATIONS = 100_000
SIGNIFICANT_DIGITS = 6

EXHAUSTING = ("grid", "surrogate", "optuna")
"""Searchers that propose no listed configuration twice, so that a space without ranges comes to an end."""

Range: TypeAlias = Uniform | LogUniform
Values: TypeAlias = dict[str, Scalar]
Identity: TypeAlias = tuple[Any, ...]

stratum = stratum_of


class Space:
    """What may be tried. Values are by name, `method` and `forget_fraction` always among them."""

    def __init__(self, spec: SweepSpec) -> None:
        self.spec = spec
        self._key = json.dumps(spec.model_dump(mode="json", include={"search"})["search"])

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(map(str, values_of(self.spec.search["method"])))

    @property
    def combinations(self) -> tuple[Values, ...]:
        """Every combination of listed values, in the file's order, methods slowest; ranges are left out."""
        return _combinations(self._key)

    def lists(self, method: str) -> dict[str, tuple[Scalar, ...]]:
        """The listed values of all but the method, as far as it has them."""
        return _lists(self.spec.search, method)

    def ranges(self, method: str) -> dict[str, Range]:
        """The ranges, as far as the method has them."""
        return {
            name: domain
            for name, domain in self.spec.search.items()
            if isinstance(domain, Uniform | LogUniform) and _applies(name, method)
        }

    @property
    def finite(self) -> bool:
        """Whether everything is listed, so that `combinations` are all there is to try."""
        return not any(self.ranges(method) for method in self.methods)

    def shuffled(self, seed: int, deck: int) -> tuple[int, ...]:
        """The positions of all combinations in an order of their own for each (seed, deck)."""
        return _shuffled(self._key, seed, deck)

    def drawn(self, method: str, seed: int, number: int) -> Values:
        """Ranges drawn independently and evenly, on a logarithmic scale where they have one."""
        found: Values = {}
        for name, domain in self.ranges(method).items():
            draw = uniforms(1, seed, number, zlib.crc32(name.encode()))[0]
            found[name] = between(domain, float(draw), whole=is_whole(name))
        return found

    def identity(self, values: Mapping[str, Any]) -> Identity:
        """The same for equal configurations, whatever their seed and whatever is not searched."""
        return tuple(values.get(name) for name in self.spec.search)

    def hyperparameters(self, values: Mapping[str, Scalar], seed: int) -> Hyperparameters:
        """The trial's own: what is not searched comes from the trial section, and from the method's declarations.

        Hyper-parameters that the method does not have are None.
        """
        method = str(values["method"])
        return Hyperparameters(**{**self._defaults(method), **values, "seed": seed})  # type: ignore[arg-type]

    def _defaults(self, method: str) -> dict[str, float]:
        trial = self.spec.trial
        common = {name: getattr(trial, name) for name in Hyperparameters.model_fields if hasattr(trial, name)}
        return {**common, **{name: declared.default for name, declared in METHODS[method].hyperparameters.items()}}


def trial_count(spec: SweepSpec) -> int | None:
    """The most trials that the sweep starts, seeds included; None where only epochs or hours limit it."""
    ends_by_itself = spec.searcher.name in EXHAUSTING and Space(spec).finite
    whole = combination_count(spec) * len(spec.seeds) if ends_by_itself else None
    known = [count for count in (whole, spec.budget.trials) if count is not None]
    return min(known, default=None)


def trial_name(index: int) -> str:
    """`t007`."""
    return f"t{index:03d}"


def is_whole(name: str) -> bool:
    """Whether the hyper-parameter is a whole number."""
    annotation = Hyperparameters.model_fields[name].annotation
    return annotation is int or int in get_args(annotation)


def combination_count(spec: SweepSpec) -> int:
    """Distinct combinations of all listed values; what a method does not have does not multiply its own."""
    return sum(
        math.prod(len(values) for values in _lists(spec.search, method).values())
        for method in map(str, values_of(spec.search["method"]))
    )


def between(domain: Range, draw: float, whole: bool) -> float | int:
    """The point of the range at `draw` in [0, 1), rounded so that it prints and reloads as itself."""
    low, high = domain.loguniform if isinstance(domain, LogUniform) else domain.uniform
    top = high + 1 if whole else high  # whole numbers: each one's interval is [n, n + 1)
    if isinstance(domain, LogUniform):
        value = math.exp(math.log(low) + draw * (math.log(top) - math.log(low)))
    else:
        value = low + draw * (top - low)
    if whole:
        return int(min(max(math.floor(value), low), high))
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)


def uniforms(count: int, *entropy: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(count,) float64 in [0, 1), the same for equal entropy everywhere."""
    bits = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count)
    return (np.asarray(bits, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=4096)
def _applies(name: str, method: str) -> bool:
    """Whether the method has this hyper-parameter: what no method declares, all have."""
    declared = any(name in other.hyperparameters for other in METHODS.values())
    return not declared or name in METHODS[method].hyperparameters


def _lists(search: Mapping[str, Scalar | Choice | Range], method: str) -> dict[str, tuple[Scalar, ...]]:
    return {
        name: values_of(domain)
        for name, domain in search.items()
        if name != "method" and not isinstance(domain, Uniform | LogUniform) and _applies(name, method)
    }


@lru_cache(maxsize=8)
def _combinations(search: str) -> tuple[Values, ...]:
    domains = SweepSpec.model_validate_json(f'{{"name": "space", "search": {search}}}').search
    found: list[Values] = []
    for method in map(str, values_of(domains["method"])):
        lists = _lists(domains, method)
        found += [{"method": method, **dict(zip(lists, chosen, strict=True))} for chosen in product(*lists.values())]
    return tuple(found)


@lru_cache(maxsize=64)
def _shuffled(search: str, seed: int, deck: int) -> tuple[int, ...]:
    order = np.argsort(uniforms(len(_combinations(search)), seed, deck, zlib.crc32(b"deck")), kind="stable")
    return tuple(int(position) for position in order)
