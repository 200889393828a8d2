"""The scheduler of a sweep: the reports of every trial, the rungs of every stratum, and the next decision.

Deterministic, without I/O and without Ray. `take` rebuilds the same state from the journal's rows, so a resumed sweep
continues exactly where the killed one was.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from letheon.journal.journal import Row
from letheon.pareto.geometry import ParetoSet
from letheon.pareto.objectives import Goals
from letheon.schedulers import asha, collapse, pareto_asha, trajectory
from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Decision
from letheon.schedulers.rung import Rung, Standing
from trainables.evaluation.metrics.catalog import number

Metrics = Mapping[str, float]


@dataclass
class _Track:
    """One trial so far. `ended`: why it ended; `rung`: the highest rung it was recorded at."""

    trial: str
    stratum: str
    reports: dict[int, Metrics] = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)
    rung: int = 0
    ended: str | None = None

    def up_to(self, epoch: int, metrics: Metrics) -> list[Metrics]:
        """Its reports up to `epoch`, in order, with `metrics` as the report of that epoch."""
        known = {**self.reports, epoch: metrics}
        return [known[key] for key in sorted(known) if key <= epoch]


class SweepScheduler:
    """Checks collapse first, then the rung. One instance per sweep; strata are independent.

    `goals`: the objectives that trials are ranked by, unless the configuration names a metric.
    """

    def __init__(self, config: SchedulerConfig, goals: Goals | None = None) -> None:
        self.config, self.goals = config, (goals or Goals()).search_goals
        self._required = {probed: config.required(self.goals, probed) for probed in (True, False)}
        self._rungs, self._probed = config.rungs, config.probe_epochs
        self._tracks: dict[str, _Track] = {}
        self._values: dict[tuple[str, int], list[float]] = {}
        self._fronts: dict[tuple[str, int], Rung] = {}
        self._reached: defaultdict[str, ParetoSet] = defaultdict(ParetoSet)

    def decide(self, trial: str, stratum: str, epoch: int, metrics: Metrics) -> Decision:
        """The decision for a trial's report of an epoch (1, 2, …; a trial may skip some). Changes nothing.

        A report that was decided before gets the same decision again; any other report of an ended trial is stopped.
        Raises ValueError for an epoch below 1: epoch 0 is the untouched target model.
        """
        if epoch < 1:
            raise ValueError(
                f"epoch {epoch} of {trial}: reports begin at epoch 1; epoch 0 is the untouched target model"
            )
        track = self._track(trial, stratum)
        if epoch in track.decisions:
            return track.decisions[epoch]
        if track.ended is not None:
            return Decision("stop", epoch, f"the trial has ended already: {track.ended}")
        return self._decide(track, epoch, metrics)

    def decided(self, trial: str, epoch: int) -> bool:
        """Whether this report was added before."""
        return trial in self._tracks and epoch in self._tracks[trial].decisions

    def last_epoch(self, trial: str) -> int:
        """The last epoch that the trial reported; 0 before the first."""
        return max(self._tracks[trial].reports, default=0) if trial in self._tracks else 0

    def take(self, row: Row) -> None:
        """Add a row, in the journal's order: a trial, a report with its recorded decision, or an end."""
        if row["kind"] == "trial":
            self._track(row["trial"], row["stratum"])
        elif row["kind"] == "report" and row["epoch"] >= 1:
            track = self._tracks[row["trial"]]
            if row["epoch"] not in track.decisions:
                self._record(track, row["epoch"], row["metrics"], Decision.from_json(row["decision"]))
        elif row["kind"] == "end":
            track = self._tracks[row["trial"]]
            track.ended = track.ended or row["reason"]

    def _track(self, trial: str, stratum: str) -> _Track:
        return self._tracks.setdefault(trial, _Track(trial, stratum))

    def _decide(self, track: _Track, epoch: int, metrics: Metrics) -> Decision:
        fault = self._fault(track, epoch, metrics)
        ranked = self._ranked(track, epoch, metrics)
        if fault is not None:
            decision = replace(ranked, action="stop", reason=fault.reason, outcome=fault.outcome)
        elif epoch >= self.config.max_epochs:
            decision = replace(ranked, action="stop", reason=self._completion(ranked), outcome="completed")
        elif ranked.action == "continue":
            decision = replace(ranked, reason=ranked.reason + self._dip(track, epoch, metrics))
        else:
            decision = ranked
        return replace(decision, violation=self._violation(metrics))

    def _fault(self, track: _Track, epoch: int, metrics: Metrics) -> collapse.Fault | None:
        fault = self._infeasible(metrics, epoch)
        if fault is None and self.config.collapse is not None:
            fault = collapse.collapsed(_ratios(track, epoch, metrics), self.config.collapse)
        return fault

    def _infeasible(self, metrics: Metrics, epoch: int) -> collapse.Fault | None:
        """Between the epochs that are probed, metrics of the probe may be missing."""
        return collapse.infeasible(metrics, epoch, self._required[epoch in self._probed])

    def _dip(self, track: _Track, epoch: int, metrics: Metrics) -> str:
        rule = self.config.collapse
        return "" if rule is None else collapse.dip(_ratios(track, epoch, metrics), rule)

    def _ranked(self, track: _Track, epoch: int, metrics: Metrics) -> Decision:
        rung = self._new_rung(track, epoch)
        if rung is None:
            return Decision("continue", epoch, f"no rung at epoch {epoch}")
        key = track.stratum, rung
        if self._by_front:
            return self._by_pareto_rank(track, epoch, metrics, rung)
        return asha.decide(self._values.get(key, ()), self._value(track, epoch, metrics), rung, epoch, self.config)

    def _by_pareto_rank(self, track: _Track, epoch: int, metrics: Metrics, rung: int) -> Decision:
        records = self._fronts.get((track.stratum, rung)) or Rung()
        decision = pareto_asha.decide(records, self._standing(track, epoch, metrics), rung, epoch, self.config)
        if decision.outcome == "pruned":
            expected = trajectory.extrapolate(track.up_to(epoch, metrics), self.goals)
            if trajectory.outside_front(expected, self._reached[track.stratum]):
                why = f"{decision.reason}, but it is heading beyond all checkpoints so far"
                return replace(decision, action="continue", reason=why, outcome=None)
        return decision

    @property
    def _by_front(self) -> bool:
        return self.config.name == "pareto_asha" and self.config.metric is None

    def _completion(self, ranked: Decision) -> str:
        done = f"reached max_epochs {self.config.max_epochs}"
        return done if ranked.rank is None else f"{done}; rank {ranked.rank} of {ranked.of} at the last rung"

    def _violation(self, metrics: Metrics) -> float | None:
        ratio = metrics.get("utility_ratio")
        if self.config.collapse is None or ratio is None or not math.isfinite(ratio):
            return None
        return max(0.0, self.config.collapse.floor - ratio)

    def _new_rung(self, track: _Track, epoch: int) -> int | None:
        """The highest rung at or below `epoch`, or None if the trial was recorded at one as high.

        A late reporter is not recorded at lower rungs that it skipped: its value belongs to a later epoch.
        """
        reached = max((rung for rung in self._rungs if rung <= epoch), default=0)
        return reached if reached > track.rung else None

    def _value(self, track: _Track, epoch: int, metrics: Metrics) -> float:
        """The best scalar over the trial's epochs so far; -inf if the model is infeasible now."""
        if self._infeasible(metrics, epoch):
            return -math.inf
        values = (self._scalar(report) for report in track.up_to(epoch, metrics))
        return max((value for value in values if not math.isnan(value)), default=-math.inf)

    def _standing(self, track: _Track, epoch: int, metrics: Metrics) -> Standing:
        """The trial as a rung compares it: its best point so far or its extrapolation, whichever ranks better."""
        if self._infeasible(metrics, epoch):
            return Standing((-math.inf, -math.inf), math.inf)
        reports = track.up_to(epoch, metrics)
        records = self._fronts.get((track.stratum, self._new_rung(track, epoch) or 0)) or Rung()
        candidates = trajectory.best(reports, self.goals), trajectory.extrapolate(reports, self.goals)
        return min(candidates, key=lambda standing: records.place(standing).rank)

    def _scalar(self, metrics: Metrics) -> float:
        if self.config.metric is None:
            return self.goals.area(metrics)
        value = number(metrics, self.config.metric)
        return -value if self.config.mode == "min" else value

    def _record(self, track: _Track, epoch: int, metrics: Metrics, decision: Decision) -> None:
        rung = self._new_rung(track, epoch)
        if rung is not None:
            key = track.stratum, rung
            if self._by_front:
                self._fronts.setdefault(key, Rung()).add(self._standing(track, epoch, metrics))
            else:
                self._values.setdefault(key, []).append(self._value(track, epoch, metrics))
            track.rung = rung
        if self._by_front and not self._infeasible(metrics, epoch):
            standing = trajectory.standing(metrics, self.goals)
            if standing.feasible:
                self._reached[track.stratum].add(standing.point)
        track.reports[epoch] = dict(metrics)
        track.decisions[epoch] = decision
        if decision.action == "stop":
            track.ended = decision.reason


def _ratios(track: _Track, epoch: int, metrics: Metrics) -> list[float]:
    return [report["utility_ratio"] for report in track.up_to(epoch, metrics)]
