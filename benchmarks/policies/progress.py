"""How much of the table's front a sweep has found, row by row. Measures every policy the same way; decides nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from letheon.journal import Row
from letheon.pareto.geometry import ParetoSet, Point
from letheon.pareto.objectives import Goals
from letheon.search.trajectories import Table

GOALS = Goals()
ORIGIN = (0.0, 0.0)
START = (0.0, 1.0)
"""The untouched target model."""


def gained(table: Table, stratum: str, metrics: Mapping[str, float]) -> Point | None:
    """The checkpoint in its stratum's box; None for one that is infeasible or adds nothing above the origin."""
    x, y = GOALS.normalised(metrics, table.baselines[stratum])
    sound = math.isfinite(x) and math.isfinite(y) and GOALS.violation(metrics) == 0
    return (x, y) if sound else None


def full_hypervolumes(table: Table, seeds: tuple[int, ...] = (0,)) -> dict[str, float]:
    """What a search over these seeds can find at most, by stratum."""
    points: dict[str, list[Point]] = {}
    for trajectory in table.trajectories:
        if trajectory.config.get("seed", 0) in seeds:
            found = (gained(table, trajectory.stratum, metrics) for metrics in trajectory.epochs)
            points.setdefault(trajectory.stratum, [START]).extend(point for point in found if point)
    return {stratum: ParetoSet(found).hypervolume(ORIGIN) for stratum, found in sorted(points.items())}


class Watch:
    """Called with every row; True once every stratum has `share` of what the table has, or `most` epochs are over."""

    def __init__(self, table: Table, full: Mapping[str, float], share: float, most: int) -> None:
        self._table, self._full, self._share, self._most = table, full, share, most
        self._strata: dict[str, str] = {}
        self._fronts = {stratum: ParetoSet([START]) for stratum in full}
        self.reached: dict[str, int] = {}
        self.epochs = self.trials = 0
        self.curve: list[tuple[int, dict[str, float]]] = [(0, dict.fromkeys(full, 0.0))]

    def __call__(self, row: Row) -> bool:
        if row["kind"] == "trial":
            self.trials += 1
            self._strata[row["trial"]] = row["stratum"]
        elif row["kind"] == "report":
            self.epochs += 1
            self._take(self._strata[row["trial"]], row["metrics"])
        return len(self.reached) == len(self._full) or self.epochs >= self._most

    def _take(self, stratum: str, metrics: Mapping[str, float]) -> None:
        point, front = gained(self._table, stratum, metrics), self._fronts[stratum]
        if point is None or front.covers(point):
            return
        front.add(point)
        share = front.hypervolume(ORIGIN) / self._full[stratum]
        self.curve.append((self.epochs, {**self.curve[-1][1], stratum: share}))
        if share >= self._share:
            self.reached.setdefault(stratum, self.epochs)
