"""What a searcher may know: every trial of the sweep so far, and how far each stratum's front has come.

Folds journal rows, so a killed sweep's searcher sees exactly what the living one saw. Objectives are scaled by each
stratum's own box, from the untouched target model (0, 0 at the utility floor) to perfect forgetting at full utility
(1, 1): only searchers ever look at two strata at once, to carry over what they learnt. Decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letheon.journal import Row, SweepHistory
from letheon.pareto.geometry import ParetoSet
from letheon.pareto.objectives import Goals

Metrics = Mapping[str, Any]

NOTHING = (0.0, 1.0)
"""The untouched target model in its box: nothing forgotten, all of the utility there."""


@dataclass(frozen=True)
class Seen:
    """A checkpoint in the unit box of its stratum; `violation` as in `Goals.violation`, infinite without numbers."""

    epoch: int
    x: float
    y: float
    violation: float

    @property
    def gain(self) -> float:
        """The hypervolume of this point alone; 0 for an infeasible one."""
        return max(self.x, 0.0) * max(self.y, 0.0) if self.violation == 0 else 0.0


@dataclass
class Trial:
    """One trial so far."""

    name: str
    stratum: str
    config: Mapping[str, Any]
    points: list[Seen] = field(default_factory=list)
    outcome: str | None = None

    @property
    def best(self) -> Seen | None:
        """Its best feasible point alone; of several the earliest. None while there is none."""
        feasible = [point for point in self.points if point.violation == 0]
        return max(feasible, key=lambda point: (point.gain, point.x, -point.epoch), default=None)

    @property
    def violation(self) -> float:
        """That of its least infeasible point; infinite before the first report."""
        return min((point.violation for point in self.points), default=math.inf)


@dataclass
class Progress:
    """The front of a stratum as searchers measure it. `hypervolume` is in units of the stratum's box."""

    front: ParetoSet = field(default_factory=lambda: ParetoSet([NOTHING]))
    hypervolume: float = 0.0
    epochs: int = 0
    gains: list[tuple[int, float]] = field(default_factory=list)
    """(epochs of this stratum until then, hypervolume gained) of every report that moved the front."""

    def take(self, point: Seen) -> None:
        self.epochs += 1
        if point.violation > 0 or self.front.covers((point.x, point.y)):
            return
        self.front.add((point.x, point.y))
        volume = self.front.hypervolume((0.0, 0.0))
        if volume > self.hypervolume:
            self.gains.append((self.epochs, volume - self.hypervolume))
            self.hypervolume = volume


class History:
    """All trials by name, in the order they were proposed, and the progress of every stratum.

    `baselines`: the untouched target model's metrics by stratum; a trial row's own `baseline` serves where one lacks.
    """

    def __init__(self, goals: Goals, baselines: Mapping[str, Metrics]) -> None:
        self._goals, self._baselines = goals, dict(baselines)
        self.sweep = SweepHistory()
        self.trials: dict[str, Trial] = {}
        self.earlier: list[Trial] = []
        """Trials of other sweeps that this one was warmed up with."""
        self.progress: dict[str, Progress] = {}

    @property
    def open_trials(self) -> Sequence[Trial]:
        """Those that have not ended."""
        return [self.trials[name] for name in self.sweep.open]

    def take(self, row: Row) -> None:
        """One more row, in the journal's order."""
        self.sweep.take(row)
        kind = row["kind"]
        if kind == "trial":
            self._baselines.setdefault(row["stratum"], row.get("baseline") or {})
            self.trials[row["trial"]] = Trial(row["trial"], row["stratum"], row["config"])
        elif kind == "report" and row["epoch"] >= 1:
            trial = self.trials[row["trial"]]
            point = self.seen(trial.stratum, row["epoch"], row["metrics"])
            trial.points.append(point)
            self.progress.setdefault(trial.stratum, Progress()).take(point)
        elif kind == "end":
            self.trials[row["trial"]].outcome = row["outcome"]
        elif kind == "warm":
            self.earlier.append(self._warm(row))

    def _warm(self, row: Row) -> Trial:
        self._baselines.setdefault(row["stratum"], row.get("baseline") or {})
        points = [self.seen(row["stratum"], epoch, metrics) for epoch, metrics in row["points"]]
        return Trial(row["trial"], row["stratum"], row["config"], points, row["outcome"])

    def seen(self, stratum: str, epoch: int, metrics: Metrics) -> Seen:
        x, y = self._goals.normalised(metrics, self._baselines.get(stratum, {}))
        if not (math.isfinite(x) and math.isfinite(y)):
            return Seen(epoch, -math.inf, -math.inf, math.inf)
        return Seen(epoch, x, y, self._goals.violation(metrics))
