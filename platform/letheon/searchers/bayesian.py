"""Bayesian optimisation: expected improvement of the hypervolume, over configurations of all strata at once.

Each stratum's front counts separately, so the next trial is for the fraction with the most to gain, and what is learned
at one fraction carries over to the others. A proposal depends on the history and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from letheon.journal import stratum_of
from letheon.pareto.geometry import Point
from letheon.searchers.base import Proposal
from letheon.searchers.encoding import Encoding
from letheon.searchers.gaussian_process import Array, Inputs, Surrogate, fit, scalarised
from letheon.searchers.history import History, Progress, Trial
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
PLANE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
"""(7, 2) unit vectors, evenly spread: the directions of two objectives."""


def _in_space() -> Array:
    """(9, 3) unit vectors: the centres of the parts of a triangle that keeps as clear of the edges as PLANE does.

    An edge is a plane of two axes. In the plane, half of the right angle minus MARGIN is left on either side of the
    diagonal; in space the same share of the angle between the diagonal and an edge is.
    """
    least = math.sin(MARGIN / (math.pi / 4) * math.asin(1 / math.sqrt(3)))
    corners = np.full((3, 3), least)
    np.fill_diagonal(corners, math.sqrt(1 - 2 * least**2))
    upright = [(i, j, 2 - i - j) for i in range(3) for j in range(3 - i)]
    inverted = [(i, j, 1 - i - j) for i in range(2) for j in range(2 - i)]
    places = np.array([*(np.add(each, 1 / 3) for each in upright), *(np.add(each, 2 / 3) for each in inverted)]) / 3
    found = places @ corners
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


DIRECTIONS = {2: PLANE, 3: _in_space()}
"""By the number of objectives."""


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

    def forecast(self, history: History, ahead: int) -> Mapping[str, float]:
        """The sum of the `ahead` largest expected improvements, as a share of the front's own value.

        Both are means over the directions, so their ratio is that of hypervolumes. It is rather too large: what the
        best candidate gains, its neighbours cannot gain again.
        """
        names = [stratum_of(fraction) for fraction in self._space.spec.fractions]
        known = [trial for trial in (*history.earlier, *history.trials.values()) if trial.points]
        if not known:
            return dict.fromkeys(names, math.inf)
        tried = {self._space.identity(trial.config) for trial in history.trials.values()}
        candidates, surrogate = self._candidates(len(history.trials), history, tried), self._surrogate(known, history)
        found = {}
        for stratum in names:
            front = _scalarised((history.progress.get(stratum) or Progress()).front, history.objectives)
            values = candidates.get(stratum) or []
            scores = surrogate.improvement(self._encoding.inputs(values), front[None, :]) if values else np.zeros(1)
            gain, now = float(np.sort(scores)[-ahead:].sum()), float(front.mean())
            found[stratum] = gain / now if now > 0 else math.inf
        return found

    # -- the model

    def _best(self, candidates: Mapping[str, Sequence[Values]], known: Sequence[Trial], history: History) -> Proposal:
        """The candidate with the largest expected gain in its stratum's hypervolume per cost of an epoch."""
        surrogate = self._surrogate(known, history)
        found: list[tuple[float, Values]] = []
        for stratum, values in candidates.items():
            front = _scalarised((history.progress.get(stratum) or Progress()).front, history.objectives)
            scores = surrogate.improvement(self._encoding.inputs(values), front[None, :])
            best = int(np.argmax(scores))
            found.append((float(scores[best]) / cost_per_epoch(stratum, history, self._space.spec), values[best]))
        score, chosen = max(found, key=lambda it: it[0])
        return Proposal(chosen, f"model: expected improvement {score:.3g}")

    def _surrogate(self, known: Sequence[Trial], history: History) -> Surrogate:
        """Fitted to ended trials; running ones, which may still improve, are pending."""
        ended = [trial for trial in known if trial.outcome is not None] or list(known)
        fitted = {trial.name for trial in ended}
        running = [trial for trial in history.open_trials if trial.name not in fitted][-MAX_TRIALS:]
        newest = ended[-MAX_TRIALS:]
        surrogate = fit(self._inputs(newest), _scores(newest, history.objectives))
        pending = _scores(running, history.objectives)
        return surrogate.with_pending(self._inputs(running), pending) if running else surrogate

    def _inputs(self, trials: Sequence[Trial]) -> Inputs:
        return self._encoding.inputs([trial.config for trial in trials])

    # -- candidates

    def _candidates(self, number: int, history: History, tried: Collection[Identity]) -> dict[str, list[Values]]:
        """Untried configurations by stratum."""
        if self._space.finite:
            return {stratum: self._sample(number, it) for stratum, it in self._space.untried(tried).items()}
        found: dict[str, list[Values]] = {}
        anywhere = [self._anywhere.at(number * DRAWN_CANDIDATES + i) for i in range(DRAWN_CANDIDATES)]
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


def _scores(trials: Sequence[Trial], objectives: int) -> Array:
    """(trials, directions) the scalarised feasible points of each trial."""
    feasible = ([point.point for point in trial.points if point.violation == 0] for trial in trials)
    return np.array([_scalarised(points, objectives) for points in feasible])


def _scalarised(points: Iterable[Point], objectives: int) -> Array:
    """(directions,) 0 for no points."""
    return scalarised(np.array(list(points)).reshape(-1, objectives), DIRECTIONS[objectives])
