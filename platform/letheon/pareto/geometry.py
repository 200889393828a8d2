"""Pareto sets in two objectives, both maximised: members, domination, hypervolume and knee. Independent of metrics."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]


@dataclass(init=False)
class ParetoSet:
    """The points added so far that no other dominates, each once. Adding one costs a binary search.

    In a plane such a set is a staircase: it is iterated by rising x, and then y falls. The members that a new point
    dominates are therefore contiguous.
    """

    _stairs: list[Point]

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._stairs = []
        for point in points:
            self.add(point)

    def __len__(self) -> int:
        return len(self._stairs)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._stairs)

    def covers(self, point: Point) -> bool:
        """Whether a member is at least as good in both objectives."""
        return self._highest_from(point[0])[1] >= point[1]

    def dominates(self, point: Point) -> bool:
        """Whether a member is at least as good in both objectives and better in one."""
        return self.covers(point) and self._highest_from(point[0]) != point

    def add(self, point: Point) -> list[Point]:
        """Add a point; returns the members it replaces. A point that is covered or not finite changes nothing."""
        x, y = point
        if not (math.isfinite(x) and math.isfinite(y)) or self.covers(point):
            return []
        end = bisect_left(self._stairs, (x, math.inf))  # members with at most its x
        start = bisect_left(self._stairs, -y, 0, end, key=lambda other: -other[1])  # of those, with at most its y
        replaced, self._stairs[start:end] = self._stairs[start:end], [point]
        return replaced

    def hypervolume(self, reference: Point) -> float:
        """The exact area that the members dominate above `reference`; 0.0 if none lies above it."""
        array = np.array(self._stairs[::-1]).reshape(-1, 2)  # first column falls, so the second rises
        array = array[(array > np.asarray(reference)).all(axis=1)]
        steps = np.diff(array[:, 1], prepend=reference[1])
        return float(((array[:, 0] - reference[0]) * steps).sum())

    def _highest_from(self, x: float) -> Point:
        """The member with the highest y among those with at least this x."""
        place = bisect_left(self._stairs, (x, -math.inf))
        return self._stairs[place] if place < len(self._stairs) else (math.inf, -math.inf)


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """(n,) True where no other of the (n, 2) points is at least as good in both columns and better in one.

    Equal points are all on the front or all off it. Points that are not finite are never on it.
    """
    pairs = _pairs(points)
    front = set(ParetoSet(pairs))
    return np.array([point in front for point in pairs], dtype=np.bool_)


def knee(points: npt.ArrayLike, reference: Point | None = None, ideal: Point | None = None) -> int | None:
    """Index of the best compromise: the front point farthest above the diagonal of the box from `reference` to `ideal`.

    Both columns are scaled to the box, so units do not matter. The box is fixed, because with the front's own range one
    more point at the end of the front, which nobody would choose, moves the knee (a p-value of 1e-17 is no better than
    one of 1e-16). Without a box the front's range is used. Ties go to the point that dominates the larger area above
    the box's low corner, then to the higher second column, then to the first. None without a finite point.
    """
    array = np.array(_pairs(points))
    front = np.flatnonzero(non_dominated(array))
    if not len(front):
        return None
    low = array[front].min(axis=0) if reference is None else np.asarray(reference)
    high = array[front].max(axis=0) if ideal is None else np.asarray(ideal)
    scale = np.where(high > low, high - low, 1.0)
    above = np.round(((array[front] - low) / scale).sum(axis=1), 12)  # the distance to the diagonal, up to a constant
    gains = np.maximum(array[front] - low, 0.0).prod(axis=1)
    order = np.lexsort((front, -array[front, 1], -gains, -above))
    return int(front[order[0]])


def _pairs(points: npt.ArrayLike) -> list[Point]:
    array = np.asarray(points, dtype=np.float64)
    if array.size and (array.ndim != 2 or array.shape[1] != 2):  # noqa: PLR2004 (two objectives)
        raise ValueError(f"points of shape {array.shape}: must be (n, 2), one row per point")
    return [(x, y) for x, y in array.reshape(-1, 2).tolist()]
