"""The searcher that learns: expected improvement of the hypervolume, over configurations of all strata at once.

Each stratum's front counts for itself, so the next trial is for the fraction where most is to be gained; what is learnt
at one fraction is carried over to the others. A proposal is a function of the history and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from letheon.journal import stratum_of
from letheon.searchers.base import Proposal
from letheon.searchers.encoding import Encoding
from letheon.searchers.gaussian_process import Array, Inputs, Surrogate, fit, scalarised
from letheon.searchers.history import NOTHING, History, Progress, Trial
from letheon.searchers.static import QuasiSearcher
from letheon.searchers.strata import price, strata_by_priority, underserved
from letheon.spec.model import SearcherSpec
from letheon.spec.search_space import Identity, SearchSpace, Values, between, is_whole

MOST_TRIALS = 150
"""A fit costs their cube; the newest are kept."""
LISTED_CANDIDATES = 500
"""So many of the listed combinations of a stratum are compared at most."""
DRAWN_CANDIDATES = 160
NEAR_CANDIDATES = 40
"""Where there are ranges: so many anywhere, and so many around the best trials of the stratum."""
NARROW = 0.45
"""Directions keep this far (radians) from the axes: nobody wants all of one objective and nothing of the other."""
ANGLES = NARROW + (math.pi / 2 - 2 * NARROW) * (np.arange(7) + 0.5) / 7
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


class BayesianSearcher:
    """Begins with a few configurations in each stratum, spread over the space, then asks its model."""

    def __init__(self, space: SearchSpace, settings: SearcherSpec) -> None:
        self._space, self._settings = space, settings
        self._encoding = Encoding(space)
        self._anywhere = QuasiSearcher(space, settings.seed)

    def propose(self, number: int, history: History) -> Proposal | None:
        tried = {self._space.identity(trial.config) for trial in history.trials.values()}
        candidates = self._candidates(number, history, tried)
        order = [stratum for stratum in strata_by_priority(history, self._space.spec) if candidates.get(stratum)]
        if not order:
            return None
        here = [trial for trial in history.trials.values() if trial.stratum == order[0]]
        known = [trial for trial in (*history.earlier, *history.trials.values()) if trial.points]
        if not known or (len(here) < self._settings.startup_trials and len(known) < self._startup):
            chosen = int(np.random.default_rng([self._settings.seed, number]).integers(len(candidates[order[0]])))
            return Proposal(candidates[order[0]][chosen], "start-up: anywhere in the space")
        behind = underserved(history, self._space.spec)
        among = [stratum for stratum in order if stratum in behind] or order
        return self._best({stratum: candidates[stratum] for stratum in among}, known, history)

    @property
    def _startup(self) -> int:
        return self._settings.startup_trials * len(self._space.spec.fractions)

    # -- the model

    def _best(self, candidates: Mapping[str, Sequence[Values]], known: Sequence[Trial], history: History) -> Proposal:
        """What improves the hypervolume of its stratum most, for what an epoch costs there."""
        surrogate = self._surrogate(known, history)
        found: list[tuple[float, Values]] = []
        for stratum, mine in candidates.items():
            front = np.array([NOTHING, *(history.progress.get(stratum) or Progress()).front])
            scores = surrogate.improvement(self._encoding.inputs(mine), scalarised(front, DIRECTIONS)[None, :])
            best = int(np.argmax(scores))
            found.append((float(scores[best]) / price(stratum, history, self._space.spec), mine[best]))
        score, values = max(found, key=lambda it: it[0])
        return Proposal(values, f"model: expected improvement {score:.3g}")

    def _surrogate(self, known: Sequence[Trial], history: History) -> Surrogate:
        """Learns from ended trials; running ones, which have more to show, are taken for what is expected of them."""
        ended = [trial for trial in known if trial.outcome is not None] or list(known)
        learnt = {trial.name for trial in ended}
        running = [trial for trial in history.open_trials if trial.name not in learnt][-MOST_TRIALS:]
        surrogate = fit(self._inputs(ended[-MOST_TRIALS:]), _worths(ended[-MOST_TRIALS:]))
        return surrogate.with_pending(self._inputs(running), _worths(running)) if running else surrogate

    def _inputs(self, trials: Sequence[Trial]) -> Inputs:
        return self._encoding.inputs([trial.config for trial in trials])

    # -- what may be proposed

    def _candidates(self, number: int, history: History, tried: Collection[Identity]) -> dict[str, list[Values]]:
        """By stratum, none that was tried."""
        found: dict[str, list[Values]] = {}
        if self._space.finite:
            for identity, values in self._listed:
                if identity not in tried:
                    found.setdefault(stratum_of(float(values["forget_fraction"])), []).append(values)
            return {stratum: self._some(number, values) for stratum, values in found.items()}
        anywhere = [self._anywhere.propose(number * DRAWN_CANDIDATES + i).values for i in range(DRAWN_CANDIDATES)]
        for fraction in self._space.spec.fractions:
            drawn = ({**values, "forget_fraction": fraction} for values in anywhere)
            near = self._around(number, stratum_of(fraction), fraction, history)
            mine = [values for values in (*drawn, *near) if self._space.identity(values) not in tried]
            found[stratum_of(fraction)] = mine
        return found

    @cached_property
    def _listed(self) -> list[tuple[Identity, Values]]:
        return [(self._space.identity(each), dict(each)) for each in self._space.combinations]

    def _some(self, number: int, values: list[Values]) -> list[Values]:
        """All of a few, a sample of many."""
        if len(values) <= LISTED_CANDIDATES:
            return values
        random = np.random.default_rng([self._settings.seed, number, 2])
        return [values[i] for i in sorted(random.choice(len(values), LISTED_CANDIDATES, replace=False))]

    def _around(self, number: int, stratum: str, fraction: float, history: History) -> Iterator[Values]:
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


def _worths(trials: Sequence[Trial]) -> Array:
    """(trials, directions)"""
    found = [
        scalarised(np.array([NOTHING, *((p.x, p.y) for p in trial.points if p.violation == 0)]), DIRECTIONS)
        for trial in trials
    ]
    return np.array(found)
