"""The best checkpoint of each trial, by one rule for MLflow, the pages and their exports. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from letheon.pareto.objectives import Goals


class Best:
    """Of a trial's feasible checkpoints the one that dominates the largest area, the earliest of equal ones."""

    def __init__(self, goals: Goals) -> None:
        self._goals = goals.search_goals
        self._found: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def take(self, report: Mapping[str, Any]) -> None:
        """A row of kind `report`."""
        metrics, trial = report["metrics"], str(report["trial"])
        area = self._goals.area(metrics)
        feasible = report["epoch"] >= 1 and math.isfinite(area) and self._goals.violation(metrics) == 0
        if feasible and (trial not in self._found or area > self._found[trial][0]):
            self._found[trial] = area, report

    def of(self, trial: str) -> tuple[float, Mapping[str, Any]] | None:
        """The area and the report; None where no checkpoint is feasible."""
        return self._found.get(trial)
