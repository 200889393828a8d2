"""Non-dominated fronts that grow by one point at a time, so that a large rung answers as fast as a small one.

Points have two or three objectives, all maximised. Front 0 is not dominated, front 1 only by front 0, and so on
(non-dominated sorting, Deb et al. 2002).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from letheon.pareto.geometry import ParetoSet, Point


class Fronts:
    """`layers[i]` is front i, with each distinct point once; equal points are counted."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self.layers: list[ParetoSet] = []
        self._count: Counter[Point] = Counter()
        self._sizes: list[int] = []
        for point in points:
            self.add(point)

    def __len__(self) -> int:
        return sum(self._sizes)

    def front_of(self, point: Point) -> int:
        """Index of the front that the point is or would be on, by binary search: each front dominates the next."""
        return bisect_left(self.layers, True, key=lambda layer: not layer.dominates(point))

    def count_before(self, front: int) -> int:
        """How many points lie on better fronts than this one."""
        return sum(self._sizes[:front])

    def layer_with(self, point: Point) -> list[Point]:
        """The distinct points of the point's front if it were added, including itself, by rising x."""
        front = self.front_of(point)
        return list(ParetoSet([*self.layers[front], point])) if front < len(self.layers) else [point]

    def count(self, point: Point) -> int:
        """How often this point was added."""
        return self._count[point]

    def add(self, point: Point) -> None:
        """Add a point. The points that it dominates move to the next front, and push others on in turn."""
        self._count[point] += 1
        front = self.front_of(point)
        if self._count[point] > 1:
            self._sizes[front] += 1
            return
        moving = [point]
        while moving:
            if front == len(self.layers):
                self.layers.append(ParetoSet())
                self._sizes.append(0)
            replaced = [other for one in moving for other in self.layers[front].add(one)]
            self._sizes[front] += sum(map(self.count, moving)) - sum(map(self.count, replaced))
            moving, front = replaced, front + 1


def by_spread(front: Sequence[Point], spans: Point) -> list[Point]:
    """The points of one front by farthest-first traversal (Gonzalez 1985), so that the first ones cover most of it.

    The first is the best compromise: the largest sum of all objectives, scaled by `spans`. Each next one is farthest
    from all before it; ties go to the higher y, then z, so the order depends on the points alone.
    """
    scaled = [tuple(value / (span or 1.0) for value, span in zip(point, spans, strict=True)) for point in front]
    first = max(range(len(front)), key=lambda i: (round(sum(scaled[i]), 12), front[i][1:]))
    order, far = [first], [math.inf] * len(front)
    while len(order) < len(front):
        last = scaled[order[-1]]
        apart = [round(sum((a - b) ** 2 for a, b in zip(each, last, strict=True)), 12) for each in scaled]
        far = [min(old, new) for old, new in zip(far, apart, strict=True)]
        far[order[-1]] = -1.0  # chosen
        order.append(max(range(len(front)), key=lambda i: (far[i], front[i][1:])))
    return [front[i] for i in order]
