"""Which epochs of a trial may be on the sweep's front, judged by the trial's own epochs alone. Pure and deterministic.

A front point is feasible and not dominated by any feasible point, including earlier epochs of the same trial. So this
test, applied after every epoch, misses no front checkpoint, whatever the other trials report.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trainables.config import DecisionConfig, LimitConfig
from trainables.evaluation.metrics.catalog import number

Metrics = Mapping[str, Any]


class ConstrainedPoint(NamedTuple):
    """How far a checkpoint violates floor and limits (0.0 if feasible), and its objectives, signed so that higher is
    better.
    """

    violation: float
    objectives: tuple[float, ...]

    def dominates(self, other: ConstrainedPoint) -> bool:
        """Constrained domination: a smaller violation, or an equal one and Pareto-better objectives."""
        if self.violation != other.violation:
            return self.violation < other.violation
        no_worse = all(a >= b for a, b in zip(self.objectives, other.objectives, strict=True))
        return no_worse and self.objectives != other.objectives


def is_candidate(decision: DecisionConfig, earlier: Iterable[Metrics], metrics: Metrics) -> bool:
    """Whether no earlier epoch dominates this one, so that it may be on the front or, if nothing is feasible, nearest
    to it. Equal epochs may all be; an epoch with a missing or non-finite objective may not.
    """
    here = constrained_point(decision, metrics)
    if here is None:
        return False
    before = (constrained_point(decision, one) for one in earlier)
    return not any(point.dominates(here) for point in before if point is not None)


def constrained_point(decision: DecisionConfig, metrics: Metrics) -> ConstrainedPoint | None:
    """None if an objective is missing or not finite."""
    objectives = tuple(
        number(metrics, name) * (1.0 if better == "max" else -1.0) for name, better in decision.objectives
    )
    if not all(map(math.isfinite, objectives)):
        return None
    ratio = number(metrics, "utility_ratio")
    below = max(decision.floor - ratio, 0.0) if math.isfinite(ratio) else math.inf
    return ConstrainedPoint(below + sum(_violation(limit, metrics) for limit in decision.limits), objectives)


def _violation(limit: LimitConfig, metrics: Metrics) -> float:
    if limit.when is not None and not number(metrics, limit.when[0]) > limit.when[1]:
        return 0.0
    value = number(metrics, limit.metric)
    if math.isnan(value):
        return 0.0 if limit.optional and limit.metric not in metrics else math.inf
    low = -math.inf if limit.low is None else limit.low
    high = math.inf if limit.high is None else limit.high
    return max(low - value, value - high, 0.0) / limit.scale
