"""Searchers that do not learn from results: grid, random and quasi-random."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

from letheon.searchers.base import Proposal
from letheon.searchers.encoding import Encoding
from letheon.searchers.history import History
from letheon.spec.model import Scalar
from letheon.spec.search_space import SearchSpace, Values, between

_BLOCK = 256


class GridSearcher:
    """Every combination of listed values once, in the file's order."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def propose(self, number: int, history: History) -> Proposal | None:
        combinations = self._space.combinations
        return Proposal(combinations[number], "grid") if number < len(combinations) else None


class RandomSearcher:
    """Combinations of listed values are dealt from shuffled decks, so that all appear once before any appears twice.

    Ranges are drawn independently, to 6 significant digits.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed

    def propose(self, number: int, history: History | None = None) -> Proposal:
        deck, position = divmod(number, len(self._space.combinations))
        dealt = self._space.combinations[self._space.shuffled(self._seed, deck)[position]]
        return Proposal({**dealt, **self._space.drawn(str(dealt["method"]), self._seed, number)}, "random")


class QuasiSearcher:
    """A scrambled Sobol sequence (Owen 1998) over all hyper-parameters, method and fraction included.

    The first n points cover the space more evenly than n independent ones. Axes that a method lacks are ignored. If
    nothing is searched in a range, the nearest untried combination takes the place of one that was tried.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed

    @cached_property
    def _axes(self) -> tuple[str, ...]:
        return ("method", *(name for name in self._space.spec.search if name != "method"))

    @cached_property
    def _encoding(self) -> Encoding:
        return Encoding(self._space)

    def at(self, number: int) -> Values:
        """Point `number` of the sequence, whether or not it was tried."""
        block, position = divmod(number, _BLOCK)
        point = _sobol_block(len(self._axes), self._seed, block)[position]
        return _values_at(self._space, dict(zip(self._axes, point, strict=True)))

    def propose(self, number: int, history: History) -> Proposal | None:
        values = self.at(number)
        if self._space.finite:
            tried = {self._space.identity(trial.config) for trial in history.trials.values()}
            if not self._space.has(values) or self._space.identity(values) in tried:
                untried = [other for others in self._space.untried(tried).values() for other in others]
                if not untried:
                    return None
                values = self._encoding.nearest(values, untried)
        return Proposal(values, "quasi-random")


def _values_at(space: SearchSpace, point: Mapping[str, float]) -> Values:
    """The configuration at a point of the unit cube, given by axis."""

    def pick(values: tuple[Scalar, ...], place: float) -> Scalar:
        return values[min(int(place * len(values)), len(values) - 1)]

    method = str(pick(space.methods, point["method"]))
    listed = {name: pick(values, point[name]) for name, values in space.lists(method).items()}
    ranges = space.ranges(method).items()
    drawn = {name: between(it, point[name], whole=space.is_whole(name)) for name, it in ranges}
    return {"method": method, **listed, **drawn}


@lru_cache(maxsize=16)
def _sobol_block(axes: int, seed: int, block: int) -> tuple[tuple[float, ...], ...]:
    """Points number `block` * 256 and the 255 that follow, each with `axes` coordinates in [0, 1)."""
    from scipy.stats.qmc import Sobol

    sequence = Sobol(axes, scramble=True, rng=seed)
    if block:
        sequence.fast_forward(block * _BLOCK)
    return tuple(tuple(map(float, row)) for row in sequence.random(_BLOCK))
