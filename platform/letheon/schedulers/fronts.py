"""Non-dominated fronts that grow by one point at a time, so that a rung of thousands answers as fast as one of ten.

Points are (x, y), both maximised. Front 0 is what nothing dominates, front 1 what only front 0 dominates, and so on
(non-dominated sorting, Deb et al. 2002). In a plane a front is a staircase: sorted by rising x its y falls, so what a
new point dominates in it is one contiguous piece, and that piece falls to the next front as a whole. Knows no trials.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

Point = tuple[float, float]


class Fronts:
    """`staircases[i]` is front i by rising x, each distinct point once; equal points are counted."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self.staircases: list[list[Point]] = []
        self._count: dict[Point, int] = {}
        self._sizes: list[int] = []
        for point in points:
            self.add(point)

    def __len__(self) -> int:
        return sum(self._sizes)

    def front_of(self, point: Point) -> int:
        """The front that the point is or would be on: fronts dominate each other in order, so halving finds it."""
        low, high = 0, len(self.staircases)
        while low < high:
            middle = (low + high) // 2
            if _dominates(self.staircases[middle], point):
                low = middle + 1
            else:
                high = middle
        return low

    def better_fronts(self, front: int) -> int:
        """How many points lie on the fronts before this one."""
        return sum(self._sizes[:front])

    def beside(self, point: Point) -> list[Point]:
        """The distinct points of the point's front if it were added, itself among them, by rising x."""
        front = self.front_of(point)
        if front == len(self.staircases):
            return [point]
        stairs = self.staircases[front]
        start, end = _piece(stairs, point)
        return [*stairs[:start], point, *stairs[end:]]

    def count(self, point: Point) -> int:
        """How often this very point was added."""
        return self._count.get(point, 0)

    def add(self, point: Point) -> None:
        """Put the point where it belongs; what it dominates falls, and pushes what it dominates in turn."""
        known = self._count.get(point, 0)
        self._count[point] = known + 1
        front = self.front_of(point)
        if known:
            self._sizes[front] += 1
            return
        falling = [point]
        while falling:
            if front == len(self.staircases):
                self.staircases.append([])
                self._sizes.append(0)
            falling = self._settle(front, falling)
            front += 1

    def _settle(self, front: int, arrivals: Sequence[Point]) -> list[Point]:
        """Arrivals do not dominate each other and nothing on this front dominates them. What they dominate is returned.

        They lie side by side on the new staircase, so what falls is one piece as well.
        """
        stairs = self.staircases[front]
        start, end = _piece(stairs, arrivals[0])[0], _piece(stairs, arrivals[-1])[1]
        fallen = [point for point in stairs[start:end] if _dominates(arrivals, point)]
        kept = [point for point in stairs[start:end] if not _dominates(arrivals, point)]
        stairs[start:end] = sorted([*arrivals, *kept])
        self._sizes[front] += sum(map(self._count.__getitem__, arrivals)) - sum(map(self._count.__getitem__, fallen))
        return fallen


def _dominates(stairs: Sequence[Point], point: Point) -> bool:
    """Whether any point of a staircase is at least as good in both and better in one.

    Of those with at least its x, the first has the highest y.
    """
    x, y = point
    place = bisect_left(stairs, (x, -math.inf))
    return place < len(stairs) and stairs[place][1] >= y and stairs[place] != point


def _piece(stairs: Sequence[Point], point: Point) -> tuple[int, int]:
    """Start and end of the points that `point` dominates on a staircase; where it would stand if there are none."""
    x, y = point
    end = bisect_left(stairs, (x, math.inf))  # those with at most its x
    start = bisect_left(stairs, -y, 0, end, key=lambda other: -other[1])  # of them, those with at most its y
    return start, end


def by_spread(stairs: Sequence[Point], spans: Point) -> list[Point]:
    """The points of one front, those first that show most of it: farthest-first traversal (Gonzalez 1985).

    The best compromise begins (largest sum of both objectives over `spans`, the ranges they are scaled by); the next is
    always the one farthest from all before it. Of equally far ones the one with the higher y comes first, so the order
    depends on the points alone.
    """
    scaled = [(x / (spans[0] or 1.0), y / (spans[1] or 1.0)) for x, y in stairs]
    first = max(range(len(stairs)), key=lambda i: (round(sum(scaled[i]), 12), stairs[i][1]))
    order, far = [first], [math.inf] * len(stairs)
    while len(order) < len(stairs):
        x, y = scaled[order[-1]]
        far = [min(old, round((a - x) ** 2 + (b - y) ** 2, 12)) for old, (a, b) in zip(far, scaled, strict=True)]
        far[order[-1]] = -1.0  # chosen
        order.append(max(range(len(stairs)), key=lambda i: (far[i], stairs[i][1])))
    return [stairs[i] for i in order]
