"""The goals of a front: two metrics, which way each is better, and what a checkpoint must satisfy. Pure.

A metric that is better when smaller is *maximised* with the opposite sign, so fronts only ever maximise. Independent
of which metrics exist (see `trainables.evaluation.metrics.catalog`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trainables.config import VerdictConfig
from trainables.evaluation.metrics.catalog import number

Better = Literal["max", "min"]
Metrics = Mapping[str, Any]

UTILITY_FLOOR = (
    0.8  # of the target model's utility; on public data 0.9 loses some of the best trials, which dip and recover
)
AUDIT = "audit_"  # prefix of audit metrics, which come after the search, for front checkpoints only
RATIOS: Mapping[str, str] = {"model_utility": "utility_ratio"}  # metric -> the same over the target model's


def is_audit(metric: str) -> bool:
    """Whether only an audit measures this metric."""
    return metric.startswith(AUDIT)


@dataclass(frozen=True)
class Axis:
    """One objective. `worst`, `best`: the ends of its range, in the metric's units.

    `ratio`: the metric that has its value over the target model's. If given, the range goes from the utility floor to
    the target model's value, and `worst` and `best` are ignored.
    """

    metric: str
    better: Better = "max"
    worst: float = 0.0
    best: float = 1.0
    ratio: str | None = None

    @property
    def sign(self) -> float:
        return 1.0 if self.better == "max" else -1.0

    @property
    def ranked(self) -> str:
        """The metric that schedulers compare, since they do not know the target model's value."""
        return self.ratio or self.metric

    def maximised(self, metrics: Metrics) -> float:
        """The value with the sign that makes higher better; NaN if missing."""
        return self.sign * number(metrics, self.metric)

    def ends(self, target: float, floor: float, start: float = math.nan) -> tuple[float, float]:
        """The worst and the best end of the range, maximised. `target`: the target model's value, used with a `ratio`.

        `start`: the untouched target model's value, maximised; any other range begins there if it lies inside.
        """
        if self.ratio is not None:
            return floor * target, target
        worst, best = self.sign * self.worst, self.sign * self.best
        return (max(start, worst) if start < best else worst), best

    def share(self, metrics: Metrics) -> float:
        """The share of the range that is gained, or the ratio itself, clipped to [0, 1]; NaN if missing."""
        value = number(metrics, self.ranked)
        if math.isnan(value):
            return math.nan
        gained = value if self.ratio is not None else (value - self.worst) / (self.best - self.worst)
        return min(max(gained, 0.0), 1.0)


@dataclass(frozen=True)
class Limit:
    """A constraint, both ends included. `scale`: the length of the metric's range, the unit of violations.

    `optional`: a checkpoint without the metric satisfies it. `when` (metric, value): it applies only to checkpoints
    with that metric above that value.
    """

    metric: str
    low: float = -math.inf
    high: float = math.inf
    scale: float = 1.0
    optional: bool = False
    when: tuple[str, float] | None = None

    def violation(self, metrics: Metrics) -> float:
        """0.0 if satisfied, else the distance in units of `scale`; infinite if the metric is not a number.

        A missing audit metric violates nothing: it counts once the checkpoint has been audited.
        """
        if self.when is not None and not number(metrics, self.when[0]) > self.when[1]:
            return 0.0
        value = number(metrics, self.metric)
        if math.isnan(value):
            missing = self.metric not in metrics and (self.optional or is_audit(self.metric))
            return 0.0 if missing else math.inf
        return max(self.low - value, value - self.high, 0.0) / self.scale

    def to_json(self) -> dict[str, float]:
        """`{"min": …}`, `{"max": …}` or both."""
        ends = {"min": self.low, "max": self.high}
        return {name: value for name, value in ends.items() if math.isfinite(value)}


FORGET_QUALITY = Axis("log10_forget_quality", "max", worst=-20.0, best=0.0)  # 0: distributed as the retain model's
MODEL_UTILITY = Axis("model_utility", "max", ratio=RATIOS["model_utility"])


@dataclass(frozen=True)
class Goals:
    """The objectives of a front: `x` measures forgetting, `y` what must stay. `floor`: least utility_ratio.

    `honest`: limits that keep a checkpoint off the front which differs from the retain model despite a high forget
    quality (`verdict`). `search_axes`: used until the first audit if an objective is an audit metric.
    """

    x: Axis = FORGET_QUALITY
    y: Axis = MODEL_UTILITY
    limits: tuple[Limit, ...] = ()
    floor: float = UTILITY_FLOOR
    honest: tuple[Limit, ...] = ()
    verdict: VerdictConfig = field(default=VerdictConfig(), repr=False)
    search_axes: tuple[Axis, Axis] = field(default=(FORGET_QUALITY, MODEL_UTILITY), repr=False)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return self.x, self.y

    @property
    def needs_audit(self) -> bool:
        """Whether an objective or a limit is a metric of the audit."""
        return any(is_audit(name) for name in (self.x.metric, self.y.metric, *(one.metric for one in self.limits)))

    @property
    def search_goals(self) -> Goals:
        """These goals without audit metrics: by them the search ranks trials and keeps weights."""
        if not self.needs_audit:
            return self
        blind = any(is_audit(axis.metric) for axis in self.axes)
        x, y = self.search_axes if blind else self.axes
        return replace(self, x=x, y=y, limits=tuple(one for one in self.limits if not is_audit(one.metric)))

    def objectives(self, metrics: Metrics) -> tuple[float, float]:
        """Both values, maximised."""
        return self.x.maximised(metrics), self.y.maximised(metrics)

    def ranked_objectives(self, metrics: Metrics) -> tuple[float, float]:
        """Both values for schedulers, maximised: ratios in place of their metrics."""
        return self.x.sign * number(metrics, self.x.ranked), self.y.sign * number(metrics, self.y.ranked)

    def area(self, metrics: Metrics) -> float:
        """Both objectives as one number in [0, 1]: the hypervolume of the point, each axis scaled to its range; NaN if
        either is NaN.
        """
        forgetting, utility = self.x.share(metrics), self.y.share(metrics)
        return math.nan if math.isnan(forgetting) or math.isnan(utility) else forgetting * utility

    def normalised(self, metrics: Metrics, target: Metrics) -> tuple[float, float]:
        """Both objectives scaled to a box: (0, .) is the untouched `target` model, (1, .) perfect forgetting, (., 0)
        the utility floor, (., 1) the target model's utility. Not clipped; NaN if missing.

        If the target model lacks a metric, or leaves nothing to gain in it, the scale begins at the worst end of the
        metric's range.
        """
        return self._normalised(self.x, metrics, target), self._normalised(self.y, metrics, target)

    def _normalised(self, axis: Axis, metrics: Metrics, target: Metrics) -> float:
        if axis.ratio is not None:
            return (number(metrics, axis.ratio) - self.floor) / ((1 - self.floor) or 1.0)
        start, best = axis.ends(math.nan, self.floor, axis.maximised(target))
        return (axis.maximised(metrics) - start) / (best - start)

    @property
    def ranked(self) -> tuple[str, ...]:
        """The metrics that `area` reads."""
        return self.x.ranked, self.y.ranked

    def ratio(self, metrics: Metrics) -> float:
        """utility_ratio; -inf, below every floor, if it is missing or not finite."""
        value = number(metrics, "utility_ratio")
        return value if math.isfinite(value) else -math.inf

    def violation(self, metrics: Metrics) -> float:
        """The sum of the violations of the utility floor and all limits; 0.0 for a feasible checkpoint."""
        return max(self.floor - self.ratio(metrics), 0.0) + sum(one.violation(metrics) for one in self.all_limits)

    def feasible(self, metrics: Metrics) -> bool:
        """Whether a checkpoint may be on a front: finite objectives, and neither the floor nor a limit violated."""
        return all(map(math.isfinite, self.objectives(metrics))) and self.violation(metrics) == 0

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        return (*self.limits, *self.honest)

    def to_json(self) -> dict[str, Any]:
        """`objectives` (forgetting first) and `constraints`, as in a sweep file."""
        return {
            "objectives": {axis.metric: axis.better for axis in self.axes},
            "constraints": {one.metric: one.to_json() for one in self.limits},
        }


def ordered(axes: Iterable[Axis]) -> tuple[Axis, Axis]:
    """The two axes as written, but an axis with a `ratio` comes second. Raises ValueError unless there are two."""
    first, second = sorted(axes, key=lambda axis: axis.ratio is not None)
    return first, second
