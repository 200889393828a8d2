"""The searcher that learns: expected improvement of the hypervolume in a direction that changes with every proposal.

Each stratum's front counts for itself; what is learnt at one forget fraction is carried over to the others. A proposal
is a function of the history and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from letheon.records import stratum_of
from letheon.searchers.encoding import Encoding
from letheon.searchers.fixed import QuasiSearcher
from letheon.searchers.history import NOTHING, History, Trial
from letheon.searchers.proposal import Proposal
from letheon.searchers.strata import strata_in_turn
from letheon.searchers.surrogate import Array, expected_improvement, fit, scalarised
from letheon.space import Identity, Space, Values, between, is_whole
from letheon.spec import SearcherSpec

MOST_TRIALS = 150
"""A fit costs their cube; the newest of the stratum itself come first."""
DRAWN_CANDIDATES = 160
NEAR_CANDIDATES = 40
"""Where there are ranges: so many anywhere, and so many around the best trials of the stratum."""
NARROW = 0.7
"""Directions keep this far (radians) from the axes: nobody wants all of one objective and nothing of the other."""
GOLDEN = 0.6180339887498949


class ModelSearcher:
    """Begins with a few configurations in each stratum, spread over the space, then asks its model."""

    def __init__(self, space: Space, settings: SearcherSpec) -> None:
        self._space, self._settings = space, settings
        self._encoding = Encoding(space)
        self._anywhere = QuasiSearcher(space, settings.seed)

    def propose(self, number: int, history: History) -> Proposal | None:
        tried = {self._space.identity(trial.config) for trial in history.trials.values()}
        for stratum in strata_in_turn(history, self._space.spec):
            candidates = self._candidates(number, stratum, history, tried)
            if candidates:
                return self._choose(number, stratum, candidates, history)
        return None

    def _choose(self, number: int, stratum: str, candidates: Sequence[Values], history: History) -> Proposal:
        here = [trial for trial in history.trials.values() if trial.stratum == stratum]
        known = [trial for trial in (*history.earlier, *history.trials.values()) if trial.points]
        if not known or (len(here) < self._settings.startup_trials and len(known) < self._startup):
            chosen = int(np.random.default_rng([self._settings.seed, number]).integers(len(candidates)))
            return Proposal(candidates[chosen], "start-up: anywhere in the space")
        scores = self._scores(number, stratum, candidates, known)
        best = int(np.argmax(scores))
        return Proposal(candidates[best], f"model: expected improvement {scores[best]:.3g}")

    @property
    def _startup(self) -> int:
        return self._settings.startup_trials * len(self._space.spec.fractions)

    # -- the model

    def _scores(self, number: int, stratum: str, candidates: Sequence[Values], known: Sequence[Trial]) -> Array:
        """(candidates,) expected improvement. The model learns from ended trials; others have more to show."""
        direction = _direction(number, self._settings.seed)
        newest = sorted(reversed(known), key=lambda trial: trial.stratum != stratum)[:MOST_TRIALS]
        values = np.array([_worth(trial, direction) for trial in newest])
        ended = [i for i, trial in enumerate(newest) if trial.outcome is not None] or list(range(len(newest)))
        inputs = self._encoding.inputs([newest[i].config for i in ended])
        surrogate = fit(inputs, values[ended])
        best = max((v for v, trial in zip(values, newest, strict=True) if trial.stratum == stratum), default=0.0)
        start = scalarised(np.array([NOTHING]), direction)
        mean, deviation = surrogate.predict(self._encoding.inputs(candidates))
        return expected_improvement(mean, deviation, max(best, start))

    # -- what may be proposed

    def _candidates(self, number: int, stratum: str, history: History, tried: set[Identity]) -> list[Values]:
        if self._space.finite:
            found: Iterator[Values] = (dict(each) for each in self._space.combinations)
        else:
            found = self._drawn(number, stratum, history)
        mine = (each for each in found if stratum_of(float(each["forget_fraction"])) == stratum)
        return [each for each in mine if self._space.identity(each) not in tried]

    def _drawn(self, number: int, stratum: str, history: History) -> Iterator[Values]:
        fraction = next(each for each in self._space.spec.fractions if stratum_of(each) == stratum)
        for i in range(DRAWN_CANDIDATES):
            proposal = self._anywhere.propose(number * DRAWN_CANDIDATES + i)
            yield {**proposal.values, "forget_fraction": fraction}
        best = sorted(
            (trial for trial in history.trials.values() if trial.best is not None),
            key=lambda trial: (trial.stratum == stratum, trial.best.gain if trial.best else 0.0),
        )[-4:]
        random = np.random.default_rng([self._settings.seed, number, 1])
        for i in range(NEAR_CANDIDATES if best else 0):
            yield {**self._near(best[i % len(best)].config, random), "forget_fraction": fraction}

    def _near(self, config: Mapping[str, Any], random: np.random.Generator) -> Values:
        """The same with each range's value moved a little."""
        method = str(config["method"])
        found: Values = {"method": method}
        for name in self._space.lists(method):
            found[name] = config[name]
        for name, domain in self._space.ranges(method).items():
            place = self._encoding.place(name, config[name]) + 0.1 * random.standard_normal()
            found[name] = between(domain, min(max(place, 0.0), 1.0 - 1e-12), whole=is_whole(name))
        return found


def _direction(number: int, seed: int) -> tuple[float, float]:
    """Evenly over the quarter circle as numbers go on."""
    angle = NARROW + (math.pi / 2 - 2 * NARROW) * ((number + 1 + seed) * GOLDEN % 1.0)
    return math.cos(angle), math.sin(angle)


def _worth(trial: Trial, direction: tuple[float, float]) -> float:
    points = np.array([NOTHING, *((point.x, point.y) for point in trial.points if point.violation == 0)])
    return scalarised(points, direction)
