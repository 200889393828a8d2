"""A running sweep as plain data: `LiveFold` folds the journal's rows into a `LiveView`.

Pure. Terminals, `status --json` and the gauges show the same view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from letheon.analysis.cost import Cost, cost_so_far
from letheon.analysis.time_left import Running, TimeLeft, Workload, time_left, unknown
from letheon.journal import Row, SweepState, jsonable
from letheon.journal.activity import NOTHING, Activity
from letheon.journal.state import ACTIVE
from letheon.journal.usage import spent
from letheon.pareto.front import hypervolume_share
from letheon.pareto.incremental import FrontFold
from letheon.pareto.objectives import Goals
from letheon.searchers.expectation import still_expected
from letheon.searchers.history import History

ENDED_LAST = 12


@dataclass(frozen=True)
class SpecFacts:
    """The parts of a sweep file that a view shows; the defaults stand for a missing file.

    `planned`: most trials, None without such a limit. `by_stratum`: planned trials per fraction, empty if they are not
    known before the search. `budget`: limit by name, in its own unit.
    """

    goals: Goals = field(default_factory=Goals)
    planned: int | None = None
    by_stratum: Mapping[str, int] = field(default_factory=dict)
    strata: tuple[str, ...] = ()
    max_epochs: int | None = None
    budget: Mapping[str, float] = field(default_factory=dict)
    gpus_per_trial: float = 0.0


@dataclass(frozen=True)
class StratumView:
    """One forget fraction. `planned`: None if the searcher chooses fractions during the search. `front`: its stratum
    in `front_of`. `share`: hypervolume as a share of the possible one, None if unknown. `expected`: what its next
    `AHEAD` trials are expected to add, as a share of its hypervolume (`expectation.by_growth`); None if too few ended.
    """

    planned: int | None
    counts: Mapping[str, int]
    epochs: int
    epochs_saved: int
    front: Mapping[str, Any]
    share: float | None
    expected: float | None = None

    @property
    def started(self) -> int:
        return sum(self.counts.values())

    @property
    def running(self) -> int:
        return self.counts.get("running", 0)

    @property
    def ended(self) -> int:
        return self.started - self.running - self.counts.get("interrupted", 0)

    def to_json(self) -> dict[str, Any]:
        points, knee = self.front.get("points", ()), self.front.get("knee")
        return {
            "planned": self.planned,
            "started": self.started,
            "ended": self.ended,
            "counts": dict(self.counts),
            "epochs": self.epochs,
            "epochs_saved": self.epochs_saved,
            "points": [place(point) for point in points],
            "knee": None if knee is None else place(knee),
            "hypervolume": self.front.get("hypervolume", 0.0),
            "share": self.share,
            "expected": self.expected,
        }


@dataclass(frozen=True)
class LiveView:
    """A sweep at one moment. `budget`: (name, limit, used). `since`: seconds since each running trial's last row.
    `ended_last`: the trials that ended last, newest last. `activity`: what runs now."""

    state: SweepState
    spec: SpecFacts
    strata: Mapping[str, StratumView]
    cost: Cost
    left: TimeLeft
    epochs: int
    budget: tuple[tuple[str, float, float], ...] = ()
    since: Mapping[str, float] = field(default_factory=dict)
    ended_last: tuple[str, ...] = ()
    activity: Activity = NOTHING

    def to_json(self) -> dict[str, Any]:
        """The output of `status --json`; docs/watching.md explains each key."""
        found = {
            **self.state.to_json(),
            "planned": self.spec.planned,
            "epochs": self.epochs,
            "strata": {key: stratum.to_json() for key, stratum in self.strata.items()},
            "left": {"seconds": self.left.seconds, "bound": self.left.bound, "how": self.left.how},
            "budget": [{"name": name, "limit": limit, "used": used} for name, limit, used in self.budget],
            "cost": self.cost.to_json(),
            "activity": self.activity.to_json(),
        }
        return jsonable(found)


class LiveFold:
    """Collects what a view needs, row by row."""

    def __init__(self, spec: SpecFacts) -> None:
        self._spec, self._fronts = spec, FrontFold(spec.goals)
        self._sweep, self._history = self._fronts.sweep, History(spec.goals.search_goals, {})

    def take(self, row: Row) -> None:
        """Add one row, in the journal's order."""
        self._fronts.take(row)
        if row["kind"] not in ("report", "end") or row["trial"] in self._sweep.trials:
            self._history.take(row)

    def state(self, sweep: str = "", now: float | None = None) -> SweepState:
        """The sweep's state according to the journal; see `SweepHistory.state`."""
        return self._sweep.state(sweep, now)

    def view(self, state: SweepState, now: float | None = None) -> LiveView:
        """The view. `state`: may have facts beyond the journal. `now` (unix seconds): given while a driver is alive."""
        cost = cost_so_far(self._sweep, self._fronts.on_front, self._spec.max_epochs, now)
        used = spent(self._sweep, self._spec.gpus_per_trial, now)
        budget = tuple((name, limit, float(getattr(used, name))) for name, limit in self._spec.budget.items())
        return LiveView(
            state=state,
            spec=self._spec,
            strata=self._strata(state, cost),
            cost=cost,
            left=self._left(state, cost.slots, budget, now),
            epochs=used.epochs,
            budget=budget,
            since=self._sweep.seconds_since_report(now),
            ended_last=tuple(self._sweep.ended[-ENDED_LAST:]),
        )

    def _strata(self, state: SweepState, cost: Cost) -> dict[str, StratumView]:
        fronts, counts = self._fronts.front()["strata"], _counts(state)
        names = sorted({*self._spec.strata, *counts}, key=float)
        expected = still_expected(self._history, names)
        found = {}
        for name in names:
            work, front = cost.strata.get(name), fronts.get(name, {})
            found[name] = StratumView(
                planned=self._spec.by_stratum.get(name),
                counts=counts.get(name, {}),
                epochs=work.epochs if work else 0,
                epochs_saved=work.epochs_saved if work else 0,
                front=front,
                share=hypervolume_share(front),
                expected=expected[name],
            )
        return found

    def _left(
        self, state: SweepState, slots: int, budget: tuple[tuple[str, float, float], ...], now: float | None
    ) -> TimeLeft:
        if state.state not in ACTIVE:
            return unknown(f"the sweep is {state.state}")
        if state.state == "preparing":
            return unknown("models are being prepared")
        live = [trial for trial in state.trials if trial.outcome is None]
        to_start = self._to_start(state)
        if state.trials and not live and to_start is not None and not any(to_start.values()):
            return unknown("the search is over; the steps after it are not estimated")
        since = self._sweep.seconds_since_report(now)
        longest = max((trial.epoch for trial in state.trials), default=1)
        strata = {trial.stratum for trial in state.trials}
        known = {key: self._sweep.seconds_per_epoch(key) for key in strata}
        work = Workload(
            slots=slots,
            max_epochs=self._spec.max_epochs or max(longest, 1),
            running=[Running(trial.stratum, trial.epoch, since.get(trial.trial, 0.0)) for trial in live],
            ended=[trial.epoch for trial in state.trials if trial.outcome is not None],
            to_start=to_start,
            seconds_per_epoch=self._sweep.seconds_per_epoch(),
            by_stratum={key: seconds for key, seconds in known.items() if seconds is not None},
            left={name: limit - used for name, limit, used in budget},
            gpus_per_trial=self._spec.gpus_per_trial,
        )
        return time_left(work)

    def _to_start(self, state: SweepState) -> dict[str, int] | None:
        planned = self._spec.planned
        if planned is None:
            return None
        if not self._spec.by_stratum:
            return {"": max(0, planned - len(state.trials))}
        started = Counter(trial.stratum for trial in state.trials)
        return {key: max(0, count - started[key]) for key, count in self._spec.by_stratum.items()}


def _counts(state: SweepState) -> dict[str, dict[str, int]]:
    """Stratum -> trials by outcome, or by state while they have none."""
    found: dict[str, Counter[str]] = {}
    for trial in state.trials:
        found.setdefault(trial.stratum, Counter())[trial.outcome or trial.state] += 1
    return {key: dict(counts) for key, counts in found.items()}


def place(point: Mapping[str, Any]) -> str:
    """`t007@12`: trial and epoch of a checkpoint."""
    return f"{point['trial']}@{point['epoch']}"
