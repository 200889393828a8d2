"""From a sweep file to the hyper-parameters of trial number n: pure, and equal on every machine.

A value depends on (search space, searcher seed, trial number) alone, so a resumed sweep asks again and gets the same.
Only raw PCG64 output is used, which numpy keeps stable. Knows no scheduler and no Ray.
"""

from __future__ import annotations

import json
import math
import zlib
from functools import lru_cache
from itertools import product
from typing import get_args

import numpy as np

from letheon.records import stratum_of
from letheon.spec import Choice, LogUniform, Scalar, SweepSpec, Uniform, values_of
from trainables.config import Hyperparameters
from trainables.methods import METHODS

MAX_COMBINATIONS = 100_000
SIGNIFICANT_DIGITS = 6

Range = Uniform | LogUniform

stratum = stratum_of


def trial_count(spec: SweepSpec) -> int:
    """Trials of the sweep: the budget, or (grid) every combination with every seed, whichever is less."""
    if spec.searcher.name == "random":
        return spec.budget.trials or 0
    whole = combination_count(spec) * len(spec.seeds)
    return whole if spec.budget.trials is None else min(whole, spec.budget.trials)


def trial_name(index: int) -> str:
    """`t007`."""
    return f"t{index:03d}"


def sample(spec: SweepSpec, index: int) -> Hyperparameters:
    """Hyper-parameters of trial `index`; consecutive trials share a configuration and differ by seed.

    Random: the combinations of all listed values are dealt from shuffled decks, so each comes up once before any comes
    up twice; ranges are drawn independently, to 6 significant digits. Grid: the combinations in order.
    Hyper-parameters that the trial's method does not have are None.
    Raises IndexError for a negative index, or one behind the end of a grid.
    """
    configuration, seed = divmod(index, len(spec.seeds))
    deck, position = divmod(configuration, combination_count(spec))
    if index < 0 or (spec.searcher.name == "grid" and deck > 0):
        raise IndexError(f"trial index {index} must be in 0..{trial_count(spec) - 1}; ask `trial_count` first")
    if spec.searcher.name == "random":
        position = _shuffled(_key(spec), spec.searcher.seed, deck)[position]
    values = dict(_combinations(_key(spec))[position])
    for name, domain in _ranges(spec, str(values["method"])).items():
        draw = _uniforms(1, spec.searcher.seed, configuration, zlib.crc32(name.encode()))[0]
        values[name] = _between(domain, float(draw), whole=is_whole(name))
    return Hyperparameters(**{**_defaults(spec, str(values["method"])), **values, "seed": spec.seeds[seed]})  # type: ignore[arg-type]


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


def _applies(name: str, method: str) -> bool:
    """Whether the method has this hyper-parameter: what no method declares, all have."""
    declared = any(name in other.hyperparameters for other in METHODS.values())
    return not declared or name in METHODS[method].hyperparameters


def _lists(search: dict[str, Scalar | Choice | Range], method: str) -> dict[str, tuple[Scalar, ...]]:
    return {
        name: values_of(domain)
        for name, domain in search.items()
        if name != "method" and not isinstance(domain, Uniform | LogUniform) and _applies(name, method)
    }


def _ranges(spec: SweepSpec, method: str) -> dict[str, Range]:
    return {
        name: domain
        for name, domain in spec.search.items()
        if isinstance(domain, Uniform | LogUniform) and _applies(name, method)
    }


def _defaults(spec: SweepSpec, method: str) -> dict[str, float]:
    """What is not searched: from the trial section, and from the method's own declarations."""
    common = {name: getattr(spec.trial, name) for name in Hyperparameters.model_fields if hasattr(spec.trial, name)}
    own = {name: declared.default for name, declared in METHODS[method].hyperparameters.items()}
    return {**common, **own}


def _key(spec: SweepSpec) -> str:
    """The search space as text, to remember its combinations by."""
    return json.dumps(spec.model_dump(mode="json", include={"search"})["search"])


@lru_cache(maxsize=8)
def _combinations(search: str) -> tuple[tuple[tuple[str, Scalar], ...], ...]:
    """Each combination as (name, value) pairs; methods change slowest."""
    domains = SweepSpec.model_validate_json(f'{{"name": "space", "search": {search}}}').search
    found = []
    for method in map(str, values_of(domains["method"])):
        lists = _lists(domains, method)
        found += [(("method", method), *zip(lists, values, strict=True)) for values in product(*lists.values())]
    return tuple(found)


@lru_cache(maxsize=64)
def _shuffled(search: str, seed: int, deck: int) -> tuple[int, ...]:
    order = np.argsort(_uniforms(len(_combinations(search)), seed, deck, zlib.crc32(b"deck")), kind="stable")
    return tuple(int(position) for position in order)


def _uniforms(count: int, *entropy: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(count,) float64 in [0, 1), the same for equal entropy everywhere."""
    bits = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count)
    return (np.asarray(bits, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _between(domain: Range, draw: float, whole: bool) -> float | int:
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
