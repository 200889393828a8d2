"""Other libraries behind the simulator's `SearchPolicy`: one searcher and one scheduler of theirs for each stratum.

The strata take turns, because the other libraries have no notion of them. What a library learns of a trial is a point
in the unit box of its stratum (`Goals.normalised`): its best checkpoint so far, since every checkpoint counts for the
front. That is more than a user would do by hand, and no library is worse for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.policies.offers import Offers
from letheon.journal import Row
from letheon.pareto.geometry import Point
from letheon.pareto.objectives import Goals
from letheon.schedulers.collapse import collapsed
from letheon.schedulers.config import CollapseConfig
from letheon.schedulers.decision import Decision, Outcome
from letheon.search.memory_journal import MemoryJournal
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import SearchSpace, Values, trial_name

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """What a library may know before it starts: one stratum's configurations, the epochs of a trial, a seed."""

    offers: Offers
    stratum: str
    max_epochs: int
    seed: int


class Suggester(Protocol):
    """A library's searcher."""

    def suggest(self, trial: str) -> Mapping[str, Any] | None:
        """What to try next; None: anything untried. The nearest untried configuration is run."""

    def started(self, trial: str, values: Values) -> None:
        """The configuration that was run."""

    def ended(self, trial: str, best: Point) -> None:
        """The best checkpoint of a trial that has ended."""


class Stopper(Protocol):
    """A library's scheduler."""

    def continues(self, trial: str, epoch: int, best: Point) -> bool:
        """Whether a trial with this best checkpoint runs another epoch. Not asked at the last one."""


class Untaught:
    """Any untried configuration: random search without repetition."""

    def suggest(self, trial: str) -> Mapping[str, Any] | None:
        return None

    def started(self, trial: str, values: Values) -> None:
        pass

    def ended(self, trial: str, best: Point) -> None:
        pass


class Patient:
    """Every trial runs to its end."""

    def continues(self, trial: str, epoch: int, best: Point) -> bool:
        return True


@dataclass
class _Track:
    stratum: str
    best: Point = (0.0, 0.0)
    ratios: list[float] = field(default_factory=list)


class OutsidePolicy:
    """`space`: what may be tried. `parts` makes the searcher and the scheduler of a stratum. `collapse`: Letheon's
    rule besides; None without."""

    def __init__(
        self,
        space: SearchSpace,
        baselines: Mapping[str, Metrics],
        journal: MemoryJournal,
        parts: Callable[[Problem], tuple[Suggester, Stopper]],
        collapse: CollapseConfig | None = None,
    ) -> None:
        self.end_reason: str | None = None
        self._spec, self._baselines, self._journal, self._collapse = space.spec, baselines, journal, collapse
        self._goals = goals_of(space.spec).search_goals
        seed, epochs = space.spec.searcher.seed, space.spec.scheduler.max_epochs
        self._offers = Offers(space, seed)
        self._parts: dict[str, tuple[Suggester, Stopper]] = {
            stratum: parts(Problem(self._offers, stratum, epochs, seed * 1000 + i))
            for i, stratum in enumerate(self._offers.remaining)
        }
        self._tracks: dict[str, _Track] = {}
        self._started = dict.fromkeys(self._parts, 0)

    def next_trial(self) -> Row | None:
        """For the stratum with the fewest trials."""
        left = [stratum for stratum, values in self._offers.remaining.items() if values]
        if not left:
            self.end_reason = "everything was tried"
            return None
        stratum = min(left, key=lambda it: self._started[it])
        name, (suggester, _) = trial_name(len(self._tracks)), self._parts[stratum]
        values = self._offers.take(stratum, suggester.suggest(name))
        assert values is not None  # the stratum has some left
        suggester.started(name, values)
        self._started[stratum] += 1
        self._tracks[name] = _Track(stratum)
        config = self._offers.space.hyperparameters(values, self._spec.seeds[0]).model_dump(exclude_none=True)
        return self._journal.append("trial", trial=name, stratum=stratum, config=config)

    def report(self, trial: str, epoch: int, metrics: dict[str, float]) -> Decision:
        """Letheon's collapse rule, if it is on, before the library's scheduler."""
        track = self._tracks[trial]
        suggester, stopper = self._parts[track.stratum]
        point = boxed(self._goals, metrics, self._baselines[track.stratum])
        track.best = max(track.best, point, key=_area)
        track.ratios.append(metrics["utility_ratio"])
        outcome: Outcome | None = None
        if epoch >= self._spec.scheduler.max_epochs:
            outcome = "completed"
        elif self._collapse is not None and collapsed(track.ratios, self._collapse):
            outcome = "collapsed"
        elif not stopper.continues(trial, epoch, track.best):
            outcome = "pruned"
        decision = Decision("continue" if outcome is None else "stop", epoch, "another library's", outcome=outcome)
        self._journal.append("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision.to_json())
        if outcome is not None:
            self._journal.append("end", trial=trial, outcome=outcome, reason=decision.reason, epoch=epoch)
            suggester.ended(trial, track.best)
        return decision

    def mark_running(self, trials: Collection[str]) -> None:
        """Other libraries cannot be opened again from rows; these sweeps are never killed."""


def boxed(goals: Goals, metrics: Metrics, baseline: Metrics) -> Point:
    """The checkpoint in the unit box of its stratum; its utility is 0 if it violates the floor or another limit, and
    both are without numbers."""
    x, y = goals.normalised(metrics, baseline)
    if not (math.isfinite(x) and math.isfinite(y)):
        return 0.0, 0.0
    return max(x, 0.0), max(y, 0.0) if goals.violation(metrics) == 0 else 0.0


def _area(point: Point) -> tuple[float, float]:
    return point[0] * point[1], point[0]


def grace(value: int | str, epochs: int) -> int:
    """A number of epochs; `half` of them is rounded up."""
    return math.ceil(epochs / 2) if value == "half" else int(value)
