"""Pareto sets in two or three objectives, all maximised: members, domination, hypervolume and knee.

Independent of metrics.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

Point = tuple[float, ...]
"""The objectives of one candidate. All points that are compared have the same number of them, two or three."""
PLANE = 2


@dataclass(init=False)
class ParetoSet:
    """The points added so far that no other dominates, each once, iterated by rising x.

    In a plane such a set is a staircase: as x rises, y falls. The members that a new point dominates are therefore
    contiguous, and adding one costs a binary search. In space it costs a pass over the members.
    """

    _members: list[Point]

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._members = []
        for point in points:
            self.add(point)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._members)

    def covers(self, point: Point) -> bool:
        """Whether a member is at least as good in every objective."""
        start = bisect_left(self._members, point[:1])  # the members from there on have at least its x
        if len(point) == PLANE:  # the first of them has the highest y
            return start < len(self._members) and self._members[start][1] >= point[1]
        return any(at_least(other, point) for other in islice(self._members, start, None))

    def dominates(self, point: Point) -> bool:
        """Whether a member is at least as good in every objective and better in one."""
        return self.covers(point) and not self._has(point)

    def add(self, point: Point) -> list[Point]:
        """Add a point; returns the members it replaces. A point that is covered or not finite changes nothing."""
        if not all(map(math.isfinite, point)) or self.covers(point):
            return []
        start, end = 0, bisect_left(self._members, (point[0], math.inf))  # members with at most its x
        if len(point) == PLANE:  # of those, with at most its y
            start = bisect_left(self._members, -point[1], 0, end, key=lambda other: -other[1])
        replaced = [other for other in self._members[start:end] if at_least(point, other)]
        kept = [other for other in self._members[start:end] if not at_least(point, other)]
        self._members[start:end] = sorted([*kept, point])
        return replaced

    def hypervolume(self, reference: Point) -> float:
        """The exact area or volume that the members dominate above `reference`; 0.0 if none lies above it."""
        return _volume(self._members, reference) if len(reference) > PLANE else _area(self._members, reference)

    def _has(self, point: Point) -> bool:
        place = bisect_left(self._members, point)
        return place < len(self._members) and self._members[place] == point


def at_least(one: Point, other: Point) -> bool:
    """Whether `one` is at least as good in every objective."""
    return all(a >= b for a, b in zip(one, other, strict=True))


def _area(stairs: Sequence[Point], reference: Point) -> float:
    array = np.array(stairs[::-1]).reshape(-1, 2)  # first column falls, so the second rises
    array = array[(array > np.asarray(reference)).all(axis=1)]
    steps = np.diff(array[:, 1], prepend=reference[1])
    return float(((array[:, 0] - reference[0]) * steps).sum())


def _volume(points: Iterable[Point], reference: Point) -> float:
    """The sum over slices between neighbouring values of z: the area of the points above a slice, times its height.

    Hypervolume by slicing objectives (While et al. 2006); exact, in the square of the number of points.
    """
    *plane, bottom = reference
    above = sorted((point for point in points if _exceeds(point, reference)), key=lambda point: -point[2])
    shadow, volume = ParetoSet(), 0.0
    for i, point in enumerate(above):
        shadow.add(point[:2])
        height = point[2] - (above[i + 1][2] if i + 1 < len(above) else bottom)
        if height:
            volume += shadow.hypervolume(tuple(plane)) * height
    return volume


def _exceeds(point: Point, reference: Point) -> bool:
    return all(a > b for a, b in zip(point, reference, strict=True))


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """(n,) True where no other of the (n, 2) or (n, 3) points is at least as good in every column and better in one.

    Equal points are all on the front or all off it. Points that are not finite are never on it.
    """
    rows = _rows(points)
    front = set(ParetoSet(rows))
    return np.array([point in front for point in rows], dtype=np.bool_)


def knee(points: npt.ArrayLike, reference: Point | None = None, ideal: Point | None = None) -> int | None:
    """Index of the best compromise: the front point farthest above the diagonal of the box from `reference` to `ideal`.

    All columns are scaled to the box, so units do not matter. The box is fixed, because with the front's own range one
    more point at the end of the front, which nobody would choose, moves the knee (a p-value of 1e-17 is no better than
    one of 1e-16). Without a box the front's range is used. Ties go to the point that dominates the larger area (or
    volume) above the box's low corner, then to the higher second column, then the third, then to the first point. None
    without a finite point.
    """
    array = np.array(_rows(points))
    front = np.flatnonzero(non_dominated(array))
    if not len(front):
        return None
    low = array[front].min(axis=0) if reference is None else np.asarray(reference)
    high = array[front].max(axis=0) if ideal is None else np.asarray(ideal)
    scale = np.where(high > low, high - low, 1.0)
    above = np.round(((array[front] - low) / scale).sum(axis=1), 12)  # the distance to the diagonal, up to a constant
    gains = np.maximum(array[front] - low, 0.0).prod(axis=1)
    order = np.lexsort((front, *(-array[front, 1:].T[::-1]), -gains, -above))  # the last key counts first
    return int(front[order[0]])


def _rows(points: npt.ArrayLike) -> list[Point]:
    array = np.asarray(points, dtype=np.float64)
    if not array.size:
        return []
    if array.ndim != 2 or array.shape[1] not in (2, 3):  # noqa: PLR2004 (two or three objectives)
        raise ValueError(f"points of shape {array.shape}: must be (n, 2) or (n, 3), one row per point")
    return list(map(tuple, array.tolist()))
