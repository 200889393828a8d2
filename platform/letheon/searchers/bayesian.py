"""Bayesian optimisation: expected improvement of the hypervolume, over configurations of all strata at once.

Each stratum's front counts separately, so the next trial is for the fraction with the most to gain, and what is learned
at one fraction carries over to the others. A proposal depends on the history and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from letheon.journal import stratum_of
from letheon.searchers.base import Proposal
from letheon.searchers.encoding import Encoding
from letheon.searchers.gaussian_process import Array, Inputs, Surrogate, fit, scalarised
from letheon.searchers.history import BASELINE_POINT, History, Progress, Trial
from letheon.searchers.static import QuasiSearcher
from letheon.searchers.strata import cost_per_epoch, strata_by_priority, underserved
from letheon.spec.model import SearcherSpec
from letheon.spec.search_space import Identity, SearchSpace, Values, between

MAX_TRIALS = 150
"""A fit costs the cube of their number; the newest are kept."""
LISTED_CANDIDATES = 500
"""The most listed combinations of a stratum that are compared."""
DRAWN_CANDIDATES = 160
NEAR_CANDIDATES = 40
"""In a space with ranges: candidates anywhere, and candidates near the best trials."""
BEST_TRIALS = 4
STEP = 0.1
"""Candidates near a trial differ from it by this standard deviation, in parts of each range."""
MARGIN = 0.45
"""Directions keep this angle (radians) from the axes: a front's extreme ends are of no use."""
ANGLES = MARGIN + (math.pi / 2 - 2 * MARGIN) * (np.arange(7) + 0.5) / 7
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


class BayesianSearcher:
    """Starts with a few configurations per stratum, spread over the space, and then uses a surrogate model."""

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
        startup = self._settings.startup_trials
        if not known or (len(here) < startup and len(known) < startup * len(self._space.spec.fractions)):
            chosen = int(np.random.default_rng([self._settings.seed, number]).integers(len(candidates[order[0]])))
            return Proposal(candidates[order[0]][chosen], "start-up: anywhere in the space")
        behind = underserved(history, self._space.spec)
        strata = [stratum for stratum in order if stratum in behind] or order
        return self._best({stratum: candidates[stratum] for stratum in strata}, known, history)

    # -- the model

    def _best(self, candidates: Mapping[str, Sequence[Values]], known: Sequence[Trial], history: History) -> Proposal:
        """The candidate with the largest expected gain in its stratum's hypervolume per cost of an epoch."""
        surrogate = self._surrogate(known, history)
        found: list[tuple[float, Values]] = []
        for stratum, values in candidates.items():
            front = np.array([BASELINE_POINT, *(history.progress.get(stratum) or Progress()).front])
            scores = surrogate.improvement(self._encoding.inputs(values), scalarised(front, DIRECTIONS)[None, :])
            best = int(np.argmax(scores))
            found.append((float(scores[best]) / cost_per_epoch(stratum, history, self._space.spec), values[best]))
        score, chosen = max(found, key=lambda it: it[0])
        return Proposal(chosen, f"model: expected improvement {score:.3g}")

    def _surrogate(self, known: Sequence[Trial], history: History) -> Surrogate:
        """Fitted to ended trials; running ones, which may still improve, are pending."""
        ended = [trial for trial in known if trial.outcome is not None] or list(known)
        fitted = {trial.name for trial in ended}
        running = [trial for trial in history.open_trials if trial.name not in fitted][-MAX_TRIALS:]
        surrogate = fit(self._inputs(ended[-MAX_TRIALS:]), _scores(ended[-MAX_TRIALS:]))
        return surrogate.with_pending(self._inputs(running), _scores(running)) if running else surrogate

    def _inputs(self, trials: Sequence[Trial]) -> Inputs:
        return self._encoding.inputs([trial.config for trial in trials])

    # -- candidates

    def _candidates(self, number: int, history: History, tried: Collection[Identity]) -> dict[str, list[Values]]:
        """Untried configurations by stratum."""
        if self._space.finite:
            return {stratum: self._sample(number, it) for stratum, it in self._space.untried(tried).items()}
        found: dict[str, list[Values]] = {}
        anywhere = [self._anywhere.propose(number * DRAWN_CANDIDATES + i).values for i in range(DRAWN_CANDIDATES)]
        for fraction in self._space.spec.fractions:
            drawn = ({**values, "forget_fraction": fraction} for values in anywhere)
            near = self._near_best(number, fraction, history)
            found[stratum_of(fraction)] = [it for it in (*drawn, *near) if self._space.identity(it) not in tried]
        return found

    def _sample(self, number: int, values: list[Values]) -> list[Values]:
        """At most `LISTED_CANDIDATES` of the values, in their order."""
        if len(values) <= LISTED_CANDIDATES:
            return values
        random = np.random.default_rng([self._settings.seed, number, 2])
        return [values[i] for i in sorted(random.choice(len(values), LISTED_CANDIDATES, replace=False))]

    def _near_best(self, number: int, fraction: float, history: History) -> Iterator[Values]:
        """Neighbours of the best trials, those of the fraction's own stratum first."""
        stratum = stratum_of(fraction)
        best = sorted(
            (trial for trial in history.trials.values() if trial.best is not None),
            key=lambda trial: (trial.stratum == stratum, trial.best.gain if trial.best else 0.0),
        )[-BEST_TRIALS:]
        random = np.random.default_rng([self._settings.seed, number, 1])
        for i in range(NEAR_CANDIDATES if best else 0):
            yield {**self._neighbour(best[i % len(best)].config, random), "forget_fraction": fraction}

    def _neighbour(self, config: Mapping[str, Any], random: np.random.Generator) -> Values:
        """The configuration with every value in a range moved a little."""
        method = str(config["method"])
        found: Values = {"method": method, **{name: config[name] for name in self._space.lists(method)}}
        for name, domain in self._space.ranges(method).items():
            place = self._encoding.place(name, config[name]) + STEP * random.standard_normal()
            found[name] = between(domain, min(max(place, 0.0), 1.0 - 1e-12), whole=self._space.is_whole(name))
        return found


def _scores(trials: Sequence[Trial]) -> Array:
    """(trials, directions) the scalarised feasible points of each trial."""
    found = [
        scalarised(np.array([BASELINE_POINT, *((p.x, p.y) for p in trial.points if p.violation == 0)]), DIRECTIONS)
        for trial in trials
    ]
    return np.array(found)
