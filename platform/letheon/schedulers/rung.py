"""The records of one rung of `pareto_asha` in one stratum, and the rank of a newcomer among them. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from letheon.pareto.geometry import Point
from letheon.pareto.sorting import Fronts, by_spread


@dataclass(frozen=True)
class Standing:
    """A trial as a rung compares it: its objectives (higher is better), and its distance from feasible.

    `violation`: 0.0 if feasible; infinite if the metrics are not finite, and then the objectives are ignored.
    """

    point: Point
    violation: float = 0.0

    def __post_init__(self) -> None:
        if not self.violation >= 0:
            raise ValueError(f"violation {self.violation}: must be 0 for a feasible trial, or greater")
        if self.feasible and not all(map(math.isfinite, self.point)):
            raise ValueError(f"objectives {self.point}: must be finite numbers for a feasible trial")

    @property
    def feasible(self) -> bool:
        return self.violation == 0


@dataclass(frozen=True)
class Place:
    """A newcomer's `rank` (1 + how many records are strictly better) `of` all records including it. `front`: index of
    its non-dominated front, None if infeasible."""

    rank: int
    of: int
    front: int | None


@dataclass
class Rung:
    """The records of a rung. Their order does not matter. `low`, `high`: ranges of the feasible ones, if any."""

    fronts: Fronts = field(default_factory=Fronts)
    violations: list[float] = field(default_factory=list)
    low: Point | None = None
    high: Point | None = None

    def __len__(self) -> int:
        return len(self.fronts) + len(self.violations)

    def add(self, record: Standing) -> None:
        if not record.feasible:
            insort(self.violations, record.violation)
            return
        self.fronts.add(record.point)
        self.low, self.high = self._range_with(record.point)

    def place(self, newcomer: Standing) -> Place:
        """Rank by (feasible, violation, index of the non-dominated front, spread inside the front).

        The spread is scaled by the ranges of the feasible records and the newcomer, so units do not matter.
        """
        of = len(self) + 1
        if not newcomer.feasible:
            return Place(1 + len(self.fronts) + bisect_left(self.violations, newcomer.violation), of, None)
        front = self.fronts.front_of(newcomer.point)
        layer = self.fronts.layer_with(newcomer.point)
        better = self.fronts.count_before(front)
        if len(layer) > 1:
            order = by_spread(layer, self._spans(newcomer))
            better += sum(self.fronts.count(point) for point in order[: order.index(newcomer.point)])
        return Place(1 + better, of, front)

    def _spans(self, newcomer: Standing) -> Point:
        low, high = self._range_with(newcomer.point)
        return tuple(b - a for a, b in zip(low, high, strict=True))

    def _range_with(self, point: Point) -> tuple[Point, Point]:
        low = tuple(min(a, b) for a, b in zip(self.low or point, point, strict=True))
        return low, tuple(max(a, b) for a, b in zip(self.high or point, point, strict=True))
