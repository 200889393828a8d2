"""How the fronts of a sweep grow, one journal row at a time: hypervolume of every stratum over what was spent. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from letheon.budget import Meter
from letheon.front import box_of
from letheon.objectives import Goals
from letheon.pareto import hypervolume
from letheon.records import Row

Corner = tuple[float, float]


@dataclass(frozen=True)
class Step:
    """A stratum's front after a checkpoint was added to it. `epochs`, `slot_seconds`: of the whole sweep so far.

    `share`: its hypervolume over the box from the utility floor and the worst forgetting to the target model's utility
    and perfect forgetting, so it lies in [0, 1]. `points`: how many the front has.
    """

    stratum: str
    epochs: int
    slot_seconds: float
    share: float
    points: int


class Growth:
    """A fold over rows in the journal's order. `goals`: what the search itself can see (`Goals.before_audit`)."""

    def __init__(self, goals: Goals) -> None:
        self.goals, self.meter = goals, Meter()
        self._trials: dict[str, Row] = {}
        self._fronts: dict[str, list[Corner]] = {}
        self._boxes: dict[str, tuple[Corner, Corner]] = {}

    def take(self, row: Row) -> Step | None:
        """What the row did to its stratum's front; None if that is as it was."""
        self.meter.take(row)
        if row["kind"] == "trial":
            self._trials[str(row["trial"])] = row
        elif row["kind"] == "report" and row["epoch"] >= 1 and str(row["trial"]) in self._trials:
            return self._add(row, str(self._trials[str(row["trial"])]["stratum"]))
        return None

    def last(self, stratum: str) -> Step:
        """The stratum as it is, at what is spent by now."""
        front = self._fronts.get(stratum, [])
        share = _share(front, self._boxes[stratum]) if front else 0.0
        return Step(stratum, self.meter.epochs, self.meter.slot_seconds, share, len(front))

    def _add(self, row: Row, stratum: str) -> Step | None:
        heights = self.goals.heights(row["metrics"])
        if not all(map(math.isfinite, heights)) or self.goals.violation(row["metrics"]) > 0:
            return None
        front = self._fronts.setdefault(stratum, [])
        if any(x >= heights[0] and y >= heights[1] for x, y in front):
            return None
        if stratum not in self._boxes:
            members = [trial for trial in self._trials.values() if trial["stratum"] == stratum]
            self._boxes[stratum] = box_of(self.goals, [row], members)
        front[:] = [(x, y) for x, y in front if not (heights[0] >= x and heights[1] >= y)]
        front.append(heights)
        return self.last(stratum)


def _share(front: list[Corner], box: tuple[Corner, Corner]) -> float:
    (left, bottom), (right, top) = box
    area = (right - left) * (top - bottom)
    return float(hypervolume(front, (left, bottom))) / area if area > 0 else 0.0
