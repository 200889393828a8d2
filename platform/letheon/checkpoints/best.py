"""The best checkpoint of each trial: one rule for MLflow, the dashboard and its exports. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from letheon.pareto.objectives import Goals


class BestCheckpoints:
    """Per trial, the feasible checkpoint whose objectives span the largest area; the earliest on a tie."""

    def __init__(self, goals: Goals) -> None:
        self._goals = goals.search_goals
        self._best: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def take(self, report: Mapping[str, Any]) -> None:
        """Add a journal row of kind `report`."""
        metrics, trial = report["metrics"], str(report["trial"])
        area = self._goals.area(metrics)
        feasible = report["epoch"] >= 1 and math.isfinite(area) and self._goals.violation(metrics) == 0
        if feasible and (trial not in self._best or area > self._best[trial][0]):
            self._best[trial] = area, report

    def of(self, trial: str) -> tuple[float, Mapping[str, Any]] | None:
        """The area and the report; None if the trial has no feasible checkpoint."""
        return self._best.get(trial)
