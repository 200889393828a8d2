"""Searchers that learn nothing: grid, random and quasi-random. What they propose depends on the number alone."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

from letheon.searchers.base import Proposal
from letheon.searchers.history import History
from letheon.spec.model import Scalar
from letheon.spec.search_space import SearchSpace, Values, between, is_whole


class GridSearcher:
    """The combinations of all listed values, in the file's order, each once."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def propose(self, number: int, history: History) -> Proposal | None:
        combinations = self._space.combinations
        return Proposal(combinations[number], "grid") if number < len(combinations) else None


class RandomSearcher:
    """The combinations of all listed values are dealt from shuffled decks, so each comes up once before any comes up
    twice; ranges are drawn independently, to 6 significant digits."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed

    def propose(self, number: int, history: History | None = None) -> Proposal:
        deck, position = divmod(number, len(self._space.combinations))
        dealt = self._space.combinations[self._space.shuffled(self._seed, deck)[position]]
        return Proposal({**dealt, **self._space.drawn(str(dealt["method"]), self._seed, number)}, "random")


class QuasiSearcher:
    """A scrambled Sobol sequence (Owen 1998) over methods, fractions and everything else: the first n points cover the
    space more evenly than n independent ones. Axes that a point's method does not have are ignored."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed

    @cached_property
    def _axes(self) -> tuple[str, ...]:
        return ("method", *(name for name in self._space.spec.search if name != "method"))

    def propose(self, number: int, history: History | None = None) -> Proposal:
        point = dict(zip(self._axes, _sobol(len(self._axes), self._seed, number), strict=True))
        return Proposal(at(self._space, point), "quasi-random")


def at(space: SearchSpace, point: dict[str, float]) -> Values:
    """The configuration at a point of the unit cube, given by axis."""

    def pick(values: tuple[Any, ...], share: float) -> Scalar:
        chosen: Scalar = values[min(int(share * len(values)), len(values) - 1)]
        return chosen

    method = str(pick(space.methods, point["method"]))
    values: Values = {"method": method}
    values |= {name: pick(listed, point[name]) for name, listed in space.lists(method).items()}
    ranges = space.ranges(method)
    return values | {name: between(domain, point[name], whole=is_whole(name)) for name, domain in ranges.items()}


_BLOCK = 256


def _sobol(axes: int, seed: int, number: int) -> tuple[float, ...]:
    block, place = divmod(number, _BLOCK)
    return _sobol_block(axes, seed, block)[place]


@lru_cache(maxsize=16)
def _sobol_block(axes: int, seed: int, block: int) -> tuple[tuple[float, ...], ...]:
    from scipy.stats.qmc import Sobol

    sequence = Sobol(axes, scramble=True, rng=seed)
    if block:
        sequence.fast_forward(block * _BLOCK)
    return tuple(tuple(map(float, row)) for row in sequence.random(_BLOCK))
