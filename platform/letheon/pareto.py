"""Geometry of Pareto fronts: pure functions on arrays of shape (n, 2), both columns maximised. Knows no metrics."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """(n,) True where no other point is at least as good in both columns and better in one.

    Equal points are all on the front or all off it. A point with NaN or an infinity is never on it.
    """
    array = _points(points)
    mask = np.zeros(len(array), dtype=np.bool_)
    finite = np.flatnonzero(np.isfinite(array).all(axis=1))
    order = finite[np.lexsort((-array[finite, 1], -array[finite, 0]))]  # best first column first, ties by the second
    best, holder = -math.inf, -math.inf  # the highest second column so far, and the first column it came with
    for i in order:
        x, y = array[i]
        if y > best:
            best, holder = y, x
        mask[i] = y == best and x == holder
    return mask


def hypervolume(points: npt.ArrayLike, reference: tuple[float, float]) -> float:
    """The exact area that the points dominate above `reference`; 0.0 for no point above it."""
    array = _points(points)
    array = array[non_dominated(array) & (array > np.asarray(reference)).all(axis=1)]
    array = np.unique(array, axis=0)[::-1]  # first column falling, hence second rising
    steps = np.diff(array[:, 1], prepend=reference[1])
    return float(((array[:, 0] - reference[0]) * steps).sum())


def knee(
    points: npt.ArrayLike, reference: tuple[float, float] | None = None, ideal: tuple[float, float] | None = None
) -> int | None:
    """Index of the best compromise: the front point farthest above the diagonal of the box from `reference` to `ideal`.

    Both columns are scaled to the box, so units do not matter. A fixed box, not the front's own range: else one more
    point at the end of the front, which nobody would take, moves the knee (a p-value of 1e-17 is no better than one of
    1e-16). Without a box the front's range serves. Where several are equally far the one that dominates the larger
    area above the box's low corner wins, then the higher second column, then the first given. None without a finite
    point.
    """
    array = _points(points)
    front = np.flatnonzero(non_dominated(array))
    if not len(front):
        return None
    low = array[front].min(axis=0) if reference is None else np.asarray(reference)
    high = array[front].max(axis=0) if ideal is None else np.asarray(ideal)
    scale = np.where(high > low, high - low, 1.0)
    above = np.round(((array[front] - low) / scale).sum(axis=1), 12)  # up to a constant, the distance to the diagonal
    gains = np.maximum(array[front] - low, 0.0).prod(axis=1)
    order = np.lexsort((front, -array[front, 1], -gains, -above))
    return int(front[order[0]])


def _points(points: npt.ArrayLike) -> Points:
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:  # noqa: PLR2004 (two objectives)
        raise ValueError(f"points of shape {array.shape}: must be (n, 2), one row a point")
    return array
