"""How the fronts grew with what was spent: hypervolume of every stratum over trial-epochs and slot-seconds. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from letheon.budget import Meter
from letheon.dashboard.trial_columns import compact
from letheon.front import box_of, reports_by_stratum
from letheon.objectives import Goals
from letheon.pareto import hypervolume
from letheon.records import Row

Corner = tuple[float, float]


def growth(rows: Sequence[Row], goals: Goals) -> dict[str, list[list[float]]]:
    """Stratum -> steps of [trial-epochs of the whole sweep, slot-seconds, share of the box], the last one at the end.

    The box goes from the utility floor and the worst forgetting to the target model's utility and perfect forgetting,
    so shares lie in [0, 1] and strata can be read side by side.
    """
    members = [row for row in rows if row["kind"] == "trial"]
    curves = {
        stratum: _Curve(goals, *box_of(goals, reports, [row for row in members if row["stratum"] == stratum]))
        for stratum, reports in reports_by_stratum(rows).items()
    }
    strata, meter = {row["trial"]: row["stratum"] for row in members}, Meter()
    for row in rows:
        meter.take(row)
        if row["kind"] == "report" and row["epoch"] >= 1:
            curves[strata[row["trial"]]].take(row, meter)
    return {stratum: curve.end(meter) for stratum, curve in curves.items()}


class _Curve:
    """The front so far and the steps at which it grew."""

    def __init__(self, goals: Goals, reference: Corner, ideal: Corner) -> None:
        self._goals, self._reference = goals, reference
        self._area = (ideal[0] - reference[0]) * (ideal[1] - reference[1])
        self._front: list[Corner] = []
        self._steps: list[list[float]] = []

    def take(self, row: Row, meter: Meter) -> None:
        heights = self._goals.heights(row["metrics"])
        if not all(map(math.isfinite, heights)) or self._goals.violation(row["metrics"]) > 0:
            return
        if any(x >= heights[0] and y >= heights[1] for x, y in self._front):
            return
        kept = [(x, y) for x, y in self._front if not (heights[0] >= x and heights[1] >= y)]
        self._front = [*kept, heights]
        self._steps.append(self._step(meter))

    def end(self, meter: Meter) -> list[list[float]]:
        return [*self._steps, self._step(meter)] if meter.epochs else []

    def _step(self, meter: Meter) -> list[float]:
        share = hypervolume(self._front, self._reference) / self._area if self._front and self._area > 0 else 0.0
        return [meter.epochs, round(meter.slot_seconds, 1), compact(float(share))]
