"""The information available to searchers: every trial of the sweep so far, and the progress of each stratum's front.

A fold over journal rows, so that a resumed sweep's searcher sees exactly what the first one saw. Objectives are scaled
to each stratum's own unit box, from the untouched target model (0, and 0 at the utility floor) to perfect forgetting at
full utility (1, 1), and a third one from its worst to its best value: searchers compare strata to transfer what they
learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letheon.journal import Row, SweepHistory
from letheon.pareto.geometry import ParetoSet, Point
from letheon.pareto.objectives import Goals

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Observation:
    """A checkpoint in the unit box of its stratum. `violation`: as in `Goals.violation`, infinite without numbers."""

    epoch: int
    point: Point
    violation: float

    @property
    def gain(self) -> float:
        """The hypervolume of this point alone; 0 for an infeasible one."""
        return math.prod(max(value, 0.0) for value in self.point) if self.violation == 0 else 0.0


@dataclass
class Trial:
    """One trial so far."""

    name: str
    stratum: str
    config: Mapping[str, Any]
    points: list[Observation] = field(default_factory=list)
    outcome: str | None = None

    @property
    def best(self) -> Observation | None:
        """The feasible point with the largest gain, the earliest of equals; None if no point is feasible."""
        feasible = [point for point in self.points if point.violation == 0]
        return max(feasible, key=lambda it: (it.gain, it.point[0], -it.epoch), default=None)

    @property
    def violation(self) -> float:
        """The smallest violation of its points; infinite before the first report."""
        return min((point.violation for point in self.points), default=math.inf)


@dataclass
class Progress:
    """The front of a stratum, without the untouched model. `hypervolume` is in units of the stratum's box."""

    front: ParetoSet = field(default_factory=ParetoSet)
    hypervolume: float = 0.0
    epochs: int = 0
    gains: list[tuple[int, float]] = field(default_factory=list)
    """(epochs of this stratum until then, hypervolume gained) of every report that moved the front."""
    after: list[float] = field(default_factory=list)
    """The hypervolume after each trial that ended without a failure."""

    def take(self, point: Observation) -> None:
        self.epochs += 1
        if point.violation > 0 or self.front.covers(point.point):
            return
        self.front.add(point.point)
        volume = self.front.hypervolume((0.0,) * len(point.point))
        if volume > self.hypervolume:
            self.gains.append((self.epochs, volume - self.hypervolume))
            self.hypervolume = volume


class History:
    """All trials by name, in the order of proposal, and the progress of every stratum.

    `baselines`: the untouched target model's metrics by stratum; missing ones are taken from the trial rows.
    """

    def __init__(self, goals: Goals, baselines: Mapping[str, Metrics]) -> None:
        self._goals, self._baselines = goals, dict(baselines)
        self.sweep = SweepHistory()
        self.trials: dict[str, Trial] = {}
        self.earlier: list[Trial] = []
        """Trials of the earlier sweeps in `searcher.warm_start`."""
        self.progress: dict[str, Progress] = {}

    @property
    def objectives(self) -> int:
        """Their number, two or three."""
        return len(self._goals.axes)

    @property
    def open_trials(self) -> Sequence[Trial]:
        """Trials that have not ended."""
        return [self.trials[name] for name in self.sweep.open]

    def take(self, row: Row) -> None:
        """Fold in the next row of the journal."""
        self.sweep.take(row)
        kind = row["kind"]
        if kind == "trial":
            self.trials[row["trial"]] = self._introduced(row)
        elif kind == "report" and row["epoch"] >= 1:
            trial = self.trials[row["trial"]]
            point = self._observation(trial.stratum, row["epoch"], row["metrics"])
            trial.points.append(point)
            self.progress.setdefault(trial.stratum, Progress()).take(point)
        elif kind == "end":
            trial = self.trials[row["trial"]]
            trial.outcome = row["outcome"]
            if trial.outcome != "failed":
                progress = self.progress.setdefault(trial.stratum, Progress())
                progress.after.append(progress.hypervolume)
        elif kind == "warm":
            trial = self._introduced(row)
            trial.points = [self._observation(trial.stratum, epoch, metrics) for epoch, metrics in row["points"]]
            trial.outcome = row["outcome"]
            self.earlier.append(trial)

    def _introduced(self, row: Row) -> Trial:
        self._baselines.setdefault(row["stratum"], row.get("baseline") or {})
        return Trial(row["trial"], row["stratum"], row["config"])

    def _observation(self, stratum: str, epoch: int, metrics: Metrics) -> Observation:
        point = self._goals.normalised(metrics, self._baselines.get(stratum, {}))
        if not all(map(math.isfinite, point)):
            return Observation(epoch, (-math.inf,) * len(point), math.inf)
        return Observation(epoch, point, self._goals.violation(metrics))
