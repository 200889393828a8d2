"""The goals of a front: two or three metrics, which way each is better, and what a checkpoint must satisfy. Pure.

A metric that is better when smaller is *maximised* with the opposite sign, so fronts only ever maximise. Independent
of which metrics exist (see `trainables.evaluation.metrics.catalog`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Literal

from letheon.pareto.geometry import Point
from trainables.config import VerdictConfig
from trainables.evaluation.metrics.catalog import number

Better = Literal["max", "min"]
Metrics = Mapping[str, Any]

UTILITY_FLOOR = (
    0.8  # of the target model's utility; on public data 0.9 loses some of the best trials, which dip and recover
)
AUDIT = "audit_"  # prefix of audit metrics, which come after the search, for front checkpoints only
PROBE = "probe_"  # prefix of metrics of `scheduler.probe`, which attacks running trials at their rungs
RATIOS: Mapping[str, str] = {"model_utility": "utility_ratio"}  # metric -> the same over the target model's


def is_audit(metric: str) -> bool:
    """Whether only an audit measures this metric."""
    return metric.startswith(AUDIT)


def is_probe(metric: str) -> bool:
    """Whether only a probe measures this metric: reports between its epochs lack it."""
    return metric.startswith(PROBE)


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
        below = self.low - value if value < self.low else 0.0  # an infinite value may lie within an open end
        above = value - self.high if value > self.high else 0.0
        return max(below, above) / self.scale

    def to_json(self) -> dict[str, float]:
        """`{"min": …}`, `{"max": …}` or both."""
        ends = {"min": self.low, "max": self.high}
        return {name: value for name, value in ends.items() if math.isfinite(value)}


FORGET_QUALITY = Axis("log10_forget_quality", "max", worst=-20.0, best=0.0)  # 0: distributed as the retain model's
MODEL_UTILITY = Axis("model_utility", "max", ratio=RATIOS["model_utility"])


@dataclass(frozen=True)
class Goals:
    """The objectives of a front: `x` measures forgetting, `y` what must stay, `z` (if any) for example what an attack
    brings back. `floor`: least utility_ratio.

    `honest`: limits that keep a checkpoint off the front which differs from the retain model despite a high forget
    quality (`verdict`). `search_axes`: used until the first audit if one of the first two is an audit metric.
    """

    x: Axis = FORGET_QUALITY
    y: Axis = MODEL_UTILITY
    limits: tuple[Limit, ...] = ()
    floor: float = UTILITY_FLOOR
    honest: tuple[Limit, ...] = ()
    verdict: VerdictConfig = field(default=VerdictConfig(), repr=False)
    search_axes: tuple[Axis, ...] = field(default=(FORGET_QUALITY, MODEL_UTILITY), repr=False)
    z: Axis | None = None

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (self.x, self.y) if self.z is None else (self.x, self.y, self.z)

    @property
    def needs_audit(self) -> bool:
        """Whether an objective or a limit is a metric of the audit."""
        names = (*(axis.metric for axis in self.axes), *(limit.metric for limit in self.limits))
        return any(map(is_audit, names))

    @property
    def search_goals(self) -> Goals:
        """These goals without audit metrics: by them the search ranks trials and keeps weights.

        A third objective that is an audit metric is left out; if one of the first two is, `search_axes` take the place
        of all.
        """
        if not self.needs_audit:
            return self
        blind = is_audit(self.x.metric) or is_audit(self.y.metric)
        axes = self.search_axes if blind else [axis for axis in self.axes if not is_audit(axis.metric)]
        return replace(self, **named(axes), limits=tuple(one for one in self.limits if not is_audit(one.metric)))

    def objectives(self, metrics: Metrics) -> Point:
        """The values of all objectives, maximised."""
        return tuple(axis.maximised(metrics) for axis in self.axes)

    def ranked_objectives(self, metrics: Metrics) -> Point:
        """The same for schedulers: ratios in place of their metrics."""
        return tuple(axis.sign * number(metrics, axis.ranked) for axis in self.axes)

    def measured(self, metrics: Metrics) -> bool:
        """Whether every objective has a finite value: a probe, for one, measures only at some epochs."""
        return all(map(math.isfinite, self.ranked_objectives(metrics)))

    def area(self, metrics: Metrics) -> float:
        """All objectives as one number in [0, 1]: the hypervolume of the point, each axis scaled to its range; NaN if
        one is NaN.
        """
        return math.prod(axis.share(metrics) for axis in self.axes)

    def normalised(self, metrics: Metrics, target: Metrics) -> Point:
        """The objectives scaled to a box: (0, .) is the untouched `target` model, (1, .) perfect forgetting, (., 0)
        the utility floor, (., 1) the target model's utility. Not clipped; NaN if missing.

        If the target model lacks a metric, or leaves nothing to gain in it, the scale begins at the worst end of the
        metric's range.
        """
        return tuple(self._normalised(axis, metrics, target) for axis in self.axes)

    def _normalised(self, axis: Axis, metrics: Metrics, target: Metrics) -> float:
        if axis.ratio is not None:
            return (number(metrics, axis.ratio) - self.floor) / ((1 - self.floor) or 1.0)
        start, best = axis.ends(math.nan, self.floor, axis.maximised(target))
        return (axis.maximised(metrics) - start) / (best - start)

    @property
    def ranked(self) -> tuple[str, ...]:
        """The metrics that `area` reads."""
        return tuple(axis.ranked for axis in self.axes)

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


def ordered(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """The two or three axes in the order of `in_order`."""
    by_name = {axis.metric: axis for axis in axes}
    return tuple(by_name[name] for name in in_order(by_name))


def in_order(metrics: Iterable[str]) -> list[str]:
    """Metrics of objectives in the order of a front: forgetting first, the utility second, a probe's last.

    Otherwise as written.
    """
    first, *rest = sorted(metrics, key=lambda name: is_probe(name) + 2 * (name in RATIOS))
    utility = [name for name in rest if name in RATIOS]
    return [first, *utility, *(name for name in rest if name not in RATIOS)]


def named(axes: Sequence[Axis]) -> dict[str, Any]:
    """The axes as fields of `Goals`. Raises ValueError unless there are two or three."""
    if len(axes) not in (2, 3):
        raise ValueError(f"{len(axes)} objectives: a front has two or three; name one of forgetting and one of utility")
    return dict(zip_longest("xyz", axes))
