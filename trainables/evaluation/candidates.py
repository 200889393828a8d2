"""Which epoch of a trial may be on the front of its sweep, by the trial's own epochs alone. Pure and deterministic.

What is on a front is feasible, and nothing feasible dominates it, least of all an earlier epoch of the same trial. So
whoever asks this after every epoch misses no front checkpoint, whatever the other trials come to. Knows no sweep.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trainables.config import DecisionConfig, LimitConfig
from trainables.evaluation.metrics.catalog import number

Metrics = Mapping[str, Any]

_RATIO = "utility_ratio"


class Place(NamedTuple):
    """Of a checkpoint: how far it misses floor and limits (0.0 if feasible), and its objectives, higher is better."""

    violation: float
    heights: tuple[float, ...]

    def excels(self, other: Place) -> bool:
        """Whether it misses less, or as much and is at least as good in all objectives and better in one."""
        if self.violation != other.violation:
            return self.violation < other.violation
        no_worse = all(a >= b for a, b in zip(self.heights, other.heights, strict=True))
        return no_worse and self.heights != other.heights


def is_candidate(decision: DecisionConfig, earlier: Iterable[Metrics], metrics: Metrics) -> bool:
    """Whether no earlier epoch excels this one: then it may be on the front, or, where nothing is feasible, be what
    comes nearest. Equal ones may both; one with an objective that is missing or not finite may not.
    """
    here = place_of(decision, metrics)
    if here is None:
        return False
    before = (place_of(decision, one) for one in earlier)
    return not any(place.excels(here) for place in before if place is not None)


def place_of(decision: DecisionConfig, metrics: Metrics) -> Place | None:
    """None for a checkpoint that no front can have."""
    heights = tuple(number(metrics, name) * (1.0 if better == "max" else -1.0) for name, better in decision.objectives)
    if not all(map(math.isfinite, heights)):
        return None
    ratio = number(metrics, _RATIO)
    below = max(decision.floor - ratio, 0.0) if math.isfinite(ratio) else math.inf
    return Place(below + sum(_violation(limit, metrics) for limit in decision.limits), heights)


def _violation(limit: LimitConfig, metrics: Metrics) -> float:
    if limit.when is not None and not number(metrics, limit.when[0]) > limit.when[1]:
        return 0.0
    value = number(metrics, limit.metric)
    if math.isnan(value):
        return 0.0 if limit.optional and limit.metric not in metrics else math.inf
    low = -math.inf if limit.low is None else limit.low
    high = math.inf if limit.high is None else limit.high
    return max(low - value, value - high, 0.0) / limit.scale
