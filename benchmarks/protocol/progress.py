"""How much of the table's front a sweep has found, row by row. Measures every policy the same way; decides nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from letheon.journal import Row
from letheon.pareto.geometry import ParetoSet, Point
from letheon.pareto.objectives import Goals
from letheon.search.trajectories import Table

ORIGIN = (0.0, 0.0)
START = (0.0, 1.0)
"""The untouched target model."""
SHARES = (0.9, 0.95)
TRIALS = (8, 16, 32, 64)
"""Budgets that users have: trials of the whole sweep."""


def gained(goals: Goals, table: Table, stratum: str, metrics: Mapping[str, float]) -> Point | None:
    """The checkpoint in its stratum's box; None for one that may not be on a front (`goals.violation`)."""
    x, y = goals.normalised(metrics, table.baselines[stratum])
    sound = math.isfinite(x) and math.isfinite(y) and goals.violation(metrics) == 0
    return (x, y) if sound else None


def full_hypervolumes(goals: Goals, table: Table) -> dict[str, float]:
    """What a search over the first seed can find at most, by stratum."""
    points: dict[str, list[Point]] = {}
    for trajectory in table.trajectories:
        if trajectory.config.get("seed", 0) == table.seeds[0]:
            found = (gained(goals, table, trajectory.stratum, metrics) for metrics in trajectory.epochs)
            points.setdefault(trajectory.stratum, [START]).extend(point for point in found if point)
    return {stratum: ParetoSet(found).hypervolume(ORIGIN) for stratum, found in sorted(points.items())}


class Watch:
    """Called with every row; True once nothing more is to be measured.

    That is when every stratum has the largest of `SHARES` of what the table has and the first `most_trials` trials have
    ended, or when `most` epochs are over. `epochs` and `seconds` (of virtual time) until a stratum had a share are of
    the whole sweep: {stratum: {share: number}}, without those it never had.
    """

    def __init__(self, goals: Goals, table: Table, most: int, most_trials: int = TRIALS[-1]) -> None:
        self._goals, self._table, self._most, self._most_trials = goals, table, most, most_trials
        self._full = full_hypervolumes(goals, table)
        self._trials: dict[str, tuple[str, int]] = {}
        self._open: set[str] = set()
        self._fronts = {stratum: ParetoSet([START]) for stratum in self._full}
        self._early = {count: {stratum: ParetoSet([START]) for stratum in self._full} for count in TRIALS}
        self.epochs_run = 0
        self.epochs: dict[str, dict[float, int]] = {stratum: {} for stratum in self._full}
        self.seconds: dict[str, dict[float, float]] = {stratum: {} for stratum in self._full}

    def __call__(self, row: Row) -> bool:
        if row["kind"] == "trial":
            self._trials[row["trial"]] = row["stratum"], len(self._trials)
            self._open.add(row["trial"])
        elif row["kind"] == "report":
            self.epochs_run += 1
            self._take(row)
        elif row["kind"] == "end":
            self._open.discard(row["trial"])
        return self.epochs_run >= self._most or (self._found_all and self._ran_all)

    @property
    def _found_all(self) -> bool:
        return all(SHARES[-1] in found for found in self.epochs.values())

    @property
    def _ran_all(self) -> bool:
        early = list(self._trials)[: self._most_trials]
        return len(early) == self._most_trials and not self._open.intersection(early)

    def _take(self, row: Row) -> None:
        stratum, number = self._trials[row["trial"]]
        point = gained(self._goals, self._table, stratum, row["metrics"])
        if point is None:
            return
        for count, fronts in self._early.items():
            if number < count:
                fronts[stratum].add(point)
        if self._fronts[stratum].covers(point):
            return
        self._fronts[stratum].add(point)
        share = self._share(self._fronts[stratum], stratum)
        for wanted in SHARES:
            if share >= wanted:
                self.epochs[stratum].setdefault(wanted, self.epochs_run)
                self.seconds[stratum].setdefault(wanted, float(row["time"]))

    def share_after(self) -> dict[int, dict[str, float]]:
        """{trials: {stratum: share}}: the share of the table's hypervolume that the first trials found."""
        return {
            count: {stratum: self._share(front, stratum) for stratum, front in fronts.items()}
            for count, fronts in self._early.items()
        }

    def _share(self, front: ParetoSet, stratum: str) -> float:
        return front.hypervolume(ORIGIN) / self._full[stratum]
