"""The fronts of a sweep, row by row: of the reports it keeps those that can matter to `front_of`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from letheon.journal import Row, SweepHistory
from letheon.pareto.front import front_of, front_rows, nearest_rows
from letheon.pareto.geometry import ParetoSet
from letheon.pareto.objectives import Goals
from trainables.evaluation.metrics.catalog import number


class FrontFold:
    """`front()` is `front_of` all rows so far; a row that changes no front costs the size of its own stratum's."""

    def __init__(self, goals: Goals | None = None) -> None:
        self._goals = goals or Goals()
        axes = (*self._goals.axes, *self._goals.search_goals.axes)
        self._targets = {"model_utility", *(axis.metric for axis in axes)}
        self.sweep = SweepHistory()
        self._strata: dict[str, _Stratum] = {}
        self._audits: list[Row] = []
        self._made: dict[str, Any] | None = None

    def take(self, row: Row) -> None:
        """One more row, in the journal's order."""
        self.sweep.take(row)
        kind, changed = row["kind"], False
        if kind == "trial":
            self._strata.setdefault(row["stratum"], _Stratum(self._goals.search_goals, self._targets))
            changed = True
        elif kind == "report" and row["epoch"] >= 1 and row["trial"] in self.sweep.trials:
            changed = self._strata[self.sweep.trials[row["trial"]].stratum].report(row)
        elif kind == "audit":
            self._audits.append(row)
            changed = True
        if changed:
            self._made = None

    def front(self) -> dict[str, Any]:
        """As `front_of` gives it, without the sweep's name; the same object until something on it changes."""
        if self._made is None:
            self._made = front_of(list(self._essential()), goals=self._goals)
        return self._made

    @property
    def on_front(self) -> set[str]:
        """Trials with a checkpoint on a front."""
        strata = self.front()["strata"].values()
        return {point["trial"] for stratum in strata for point in stratum["points"]}

    def _essential(self) -> Iterator[Row]:
        """The witnesses come first: of a target's value the first that is known counts."""
        yield from (trial.row for trial in self.sweep.trials.values())
        for stratum in self._strata.values():
            yield from stratum.reports()
        yield from self._audits


class _Stratum:
    """What of one stratum matters: the front, what came nearest, and who says what the target model's values are."""

    def __init__(self, goals: Goals, targets: set[str]) -> None:
        self._goals, self._targets = goals, targets
        self._witnesses: dict[str, Row] = {}
        self._front: list[Row] = []
        self._heights = ParetoSet()
        self._nearest: list[Row] = []

    def report(self, row: Row) -> bool:
        """Whether the report changes anything."""
        metrics: Mapping[str, Any] = row["metrics"]
        ratio = self._goals.ratio(metrics)
        told = {name for name in self._targets if ratio > 0 and math.isfinite(number(metrics, name) / ratio)}
        fresh = told - set(self._witnesses)
        self._witnesses.update(dict.fromkeys(fresh, row))
        # A front of points that turn out to be no better than the target model is empty: then the nearest are shown.
        self._nearest = nearest_rows([*self._nearest, row], self._goals)
        changed = bool(fresh) or any(one is row for one in self._nearest)
        # Most reports end here, cheaply. Of equal ones the front has the first in `checkpoint_key`.
        if not self._goals.feasible(metrics) or self._heights.dominates(self._goals.objectives(metrics)):
            return changed
        self._front = front_rows([*self._front, row], self._goals)
        self._heights = ParetoSet(self._goals.objectives(one["metrics"]) for one in self._front)
        return changed or any(one is row for one in self._front)

    def reports(self) -> list[Row]:
        rows = (*self._witnesses.values(), *self._front, *self._nearest)
        return list({id(row): row for row in rows}.values())
