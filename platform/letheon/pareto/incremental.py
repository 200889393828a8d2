"""The fronts of a sweep, row by row: keeps only the reports that can matter to `front_of`."""

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
    """`front()` equals `front_of` all rows so far; a row that changes no front costs time linear in its own front."""

    def __init__(self, goals: Goals | None = None) -> None:
        self._goals = goals or Goals()
        axes = (*self._goals.axes, *self._goals.search_goals.axes)
        self._targets = {"model_utility", *(axis.metric for axis in axes)}
        self.sweep = SweepHistory()
        self._strata: dict[str, _Stratum] = {}
        self._audits: list[Row] = []
        self._cached: dict[str, Any] | None = None

    def take(self, row: Row) -> None:
        """Add a row, in the journal's order."""
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
            self._cached = None

    def front(self) -> dict[str, Any]:
        """As from `front_of`, without the sweep's name; the same object until its content changes."""
        if self._cached is None:
            self._cached = front_of(list(self._essential()), goals=self._goals)
        return self._cached

    @property
    def on_front(self) -> set[str]:
        """Trials with a checkpoint on a front."""
        strata = self.front()["strata"].values()
        return {point["trial"] for stratum in strata for point in stratum["points"]}

    def _essential(self) -> Iterator[Row]:
        """Witnesses come first: the first known value of the target model counts."""
        yield from (trial.row for trial in self.sweep.trials.values())
        for stratum in self._strata.values():
            yield from stratum.reports()
        yield from self._audits


class _Stratum:
    """The reports of one stratum that matter: its front, the closest to feasible, and the first to show each of the
    target model's values (`_witnesses`)."""

    def __init__(self, goals: Goals, targets: set[str]) -> None:
        self._goals, self._targets = goals, targets
        self._witnesses: dict[str, Row] = {}
        self._front: list[Row] = []
        self._objectives = ParetoSet()
        self._nearest: list[Row] = []

    def report(self, row: Row) -> bool:
        """Add a report; returns whether it changes anything."""
        metrics: Mapping[str, Any] = row["metrics"]
        ratio = self._goals.ratio(metrics)
        known = {name for name in self._targets if ratio > 0 and math.isfinite(number(metrics, name) / ratio)}
        fresh = known - set(self._witnesses)
        self._witnesses.update(dict.fromkeys(fresh, row))
        # If all front points turn out to be no better than the target model, the front is empty and these are shown.
        self._nearest = nearest_rows([*self._nearest, row], self._goals)
        changed = bool(fresh) or any(one is row for one in self._nearest)
        # Most reports end here, cheaply. Equal ones go on: the front shows the smallest `checkpoint_key`.
        if not self._goals.feasible(metrics) or self._objectives.dominates(self._goals.objectives(metrics)):
            return changed
        self._front = front_rows([*self._front, row], self._goals)
        self._objectives = ParetoSet(self._goals.objectives(one["metrics"]) for one in self._front)
        return changed or any(one is row for one in self._front)

    def reports(self) -> list[Row]:
        rows = (*self._witnesses.values(), *self._front, *self._nearest)
        return list({id(row): row for row in rows}.values())
