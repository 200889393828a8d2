"""What a sweep's front is made of: two metrics, which way each is better, and what a checkpoint must satisfy. Pure.

A metric that is better when smaller is held with the opposite sign, its *height*, so that fronts only ever maximise.
Does not know which metrics there are (`trainables.evaluation.metrics.catalog` does) nor where values come from.
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

UTILITY_FLOOR = 0.8  # of the target model's utility; on public data 0.9 loses some of the best, which dip and recover
AUDIT = "audit_"  # what the metrics of an audit begin with: they come after the search, for front checkpoints only
RATIOS: Mapping[str, str] = {"model_utility": "utility_ratio"}  # metric -> the same over the target model's


def is_audit(metric: str) -> bool:
    """Whether only an audit can give this metric."""
    return metric.startswith(AUDIT)


@dataclass(frozen=True)
class Axis:
    """One objective. `worst`, `best`: the ends of its range, in the metric's own units.

    `ratio`: the metric that is its value over the target model's. With it the range goes from the utility floor to the
    target model's own value, whatever `worst` and `best` are.
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
        """The metric that schedulers scale: they do not know the target model."""
        return self.ratio or self.metric

    def maximised(self, metrics: Metrics) -> float:
        """Its value, so that higher is better; NaN if it is missing."""
        return self.sign * number(metrics, self.metric)

    def ends(self, target: float, floor: float, start: float = math.nan) -> tuple[float, float]:
        """Heights of the range's worst and best end; `target`: the target model's value, which a ratio hangs on.

        `start`: the untouched target model's height, from where any other range is measured if it lies inside.
        """
        if self.ratio is not None:
            return floor * target, target
        worst, best = self.sign * self.worst, self.sign * self.best
        return (max(start, worst) if start < best else worst), best

    def share(self, metrics: Metrics) -> float:
        """In [0, 1]: how much of the range is gained; of a ratio, the ratio itself. NaN if it is missing."""
        value = number(metrics, self.ranked)
        if math.isnan(value):
            return math.nan
        gained = value if self.ratio is not None else (value - self.worst) / (self.best - self.worst)
        return min(max(gained, 0.0), 1.0)


@dataclass(frozen=True)
class Limit:
    """A constraint, both ends included. `scale`: the length of the metric's range, to compare violations by.

    `optional`: a checkpoint without the metric keeps to it. `when`: it only holds for checkpoints of which this metric
    is above this value.
    """

    metric: str
    low: float = -math.inf
    high: float = math.inf
    scale: float = 1.0
    optional: bool = False
    when: tuple[str, float] | None = None

    def violation(self, metrics: Metrics) -> float:
        """0.0 where it holds, else how far off, in ranges; infinite for no number.

        An audit metric that is not there yet violates nothing: it counts once the checkpoint has been audited.
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
    """The plane of a front: `x` is what must be forgotten, `y` what must stay. `floor`: least share of the utility.

    `honest`: what keeps a checkpoint off the front that can be told from the retain model though its forget quality
    is high (`verdict`). `search_axes` stand in for objectives that only an audit can measure while there is none.
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
        """What the search itself can see of these goals: trials are ranked and weights are kept by it."""
        if not self.needs_audit:
            return self
        blind = any(is_audit(axis.metric) for axis in self.axes)
        x, y = self.search_axes if blind else self.axes
        return replace(self, x=x, y=y, limits=tuple(one for one in self.limits if not is_audit(one.metric)))

    def objectives(self, metrics: Metrics) -> tuple[float, float]:
        return self.x.maximised(metrics), self.y.maximised(metrics)

    def ranked_objectives(self, metrics: Metrics) -> tuple[float, float]:
        """Heights of the metrics that schedulers compare: ratios in place of what they are ratios of."""
        return self.x.sign * number(metrics, self.x.ranked), self.y.sign * number(metrics, self.y.ranked)

    def area(self, metrics: Metrics) -> float:
        """Both objectives as one number in [0, 1]: the hypervolume of the single point, each axis scaled to its range.

        NaN if either is NaN.
        """
        forgetting, utility = self.x.share(metrics), self.y.share(metrics)
        return math.nan if math.isnan(forgetting) or math.isnan(utility) else forgetting * utility

    def normalised(self, metrics: Metrics, target: Metrics) -> tuple[float, float]:
        """Both objectives in a box of their own: (0, .) is the untouched `target` model, (1, .) perfect forgetting,
        (., 0) the utility floor, (., 1) the target model's utility. Not clipped; NaN for what is missing.

        What the target model is no measure for (it lacks the metric, or leaves nothing to gain) is measured from the
        worst end of the metric's range.
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
        """utility_ratio; one that is missing or not finite is below every floor."""
        value = number(metrics, "utility_ratio")
        return value if math.isfinite(value) else -math.inf

    def violation(self, metrics: Metrics) -> float:
        """How far the utility floor and all limits are missed, together; 0.0 for a feasible checkpoint."""
        return max(self.floor - self.ratio(metrics), 0.0) + sum(one.violation(metrics) for one in self.all_limits)

    def feasible(self, metrics: Metrics) -> bool:
        """Whether a checkpoint may be on a front: both objectives are finite, the floor and all limits are kept."""
        return all(map(math.isfinite, self.objectives(metrics))) and self.violation(metrics) == 0

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        return (*self.limits, *self.honest)

    def to_json(self) -> dict[str, Any]:
        """`objectives` (what must be forgotten first) and `constraints`, as a sweep file has them."""
        return {
            "objectives": {axis.metric: axis.better for axis in self.axes},
            "constraints": {one.metric: one.to_json() for one in self.limits},
        }


def ordered(axes: Iterable[Axis]) -> tuple[Axis, Axis]:
    """As written, but the utility, which has a floor, is always the second. ValueError unless there are two."""
    first, second = sorted(axes, key=lambda axis: axis.ratio is not None)
    return first, second
