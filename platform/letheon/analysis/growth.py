"""How the fronts of a sweep grow, row by row: the hypervolume of each stratum over what was spent. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from letheon.journal import Row, SweepHistory
from letheon.pareto.front import box_of
from letheon.pareto.geometry import ParetoSet, Point
from letheon.pareto.objectives import Goals


@dataclass(frozen=True)
class FrontUpdate:
    """A stratum's front after a checkpoint was added. `epochs`, `slot_seconds`: of the whole sweep so far.

    `share`: its hypervolume as a share, in [0, 1], of the box from the utility floor and the worst forgetting (and the
    worst of a third objective) to the target model's utility and perfect forgetting (and the best). `points`: the
    number of front points.
    """

    stratum: str
    epochs: int
    slot_seconds: float
    share: float
    points: int


class HypervolumeHistory:
    """A fold over rows in the journal's order. `goals`: without audit metrics (`Goals.search_goals`)."""

    def __init__(self, goals: Goals) -> None:
        self.goals, self.sweep = goals, SweepHistory()
        self._fronts: dict[str, ParetoSet] = {}
        self._boxes: dict[str, tuple[Point, Point]] = {}

    def take(self, row: Row) -> FrontUpdate | None:
        """Add a row; returns what it did to its stratum's front, None if nothing."""
        self.sweep.take(row)
        if row["kind"] == "report" and row["epoch"] >= 1 and row["trial"] in self.sweep.trials:
            return self._add(row, self.sweep.trials[row["trial"]].stratum)
        return None

    def last(self, stratum: str) -> FrontUpdate:
        """The stratum's front now, with what is spent so far."""
        front = self._fronts.get(stratum, ParetoSet())
        share = _share(front, self._boxes[stratum]) if front else 0.0
        return FrontUpdate(stratum, self.sweep.epochs, self.sweep.slot_seconds, share, len(front))

    def _add(self, row: Row, stratum: str) -> FrontUpdate | None:
        point, front = self.goals.objectives(row["metrics"]), self._fronts.setdefault(stratum, ParetoSet())
        if not self.goals.feasible(row["metrics"]) or front.covers(point):
            return None
        if stratum not in self._boxes:
            members = [trial.row for trial in self.sweep.trials.values() if trial.stratum == stratum]
            self._boxes[stratum] = box_of(self.goals, [row], members)
        front.add(point)
        return self.last(stratum)


def _share(front: ParetoSet, box: tuple[Point, Point]) -> float:
    worst, best = box
    whole = math.prod(b - a for a, b in zip(worst, best, strict=True))
    return front.hypervolume(worst) / whole if whole > 0 else 0.0
