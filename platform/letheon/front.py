"""Pareto fronts of forgetting against utility: pure functions on arrays, and the front of a sweep from its journal.

Every function takes points of shape (n, 2) and maximises both columns; in a sweep these are (log10_forget_quality,
model_utility). A front point is a checkpoint (trial, epoch), never "the last state of a trial". Nothing here reads
files or compares across strata.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from letheon.records.journal import Row, jsonable

Points = npt.NDArray[np.float64]

BEST_LOG10 = 0.0  # p = 1: the truth ratios are distributed as the retain model's
WORST_LOG10 = -20.0  # log10_forget_quality is clipped there; also the hypervolume's reference
UTILITY_FLOOR = 0.8  # of the target model's utility; on public data 0.9 loses some of the best, which dip and recover
NEAREST = 3  # least-violating points that an empty front lists


def area(log10_forget_quality: float, utility_ratio: float) -> float:
    """Both objectives as one number in [0, 1]: the hypervolume of the single point, each axis scaled to its range.

    NaN if either is NaN.
    """
    if math.isnan(log10_forget_quality) or math.isnan(utility_ratio):
        return math.nan
    forgetting = min(max((log10_forget_quality - WORST_LOG10) / -WORST_LOG10, 0.0), 1.0)
    return forgetting * min(max(utility_ratio, 0.0), 1.0)


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


def checkpoint_of(trial: str, epoch: int) -> str:
    """Where a trial keeps the weights of an epoch, relative to the sweep's folder."""
    return f"trials/{trial}/epoch-{epoch:03d}/model"


def front_of(rows: Sequence[Row], sweep: str = "", floor: float = UTILITY_FLOOR) -> dict[str, Any]:
    """The fronts of a sweep from its journal, in the shape of `front --json`.

    Candidates are the reports of epoch >= 1 with finite objectives and utility_ratio >= `floor`; checkpoints with equal
    objectives appear once, as the earliest epoch. Points fall in model_utility. The hypervolume's reference is
    (-20, utility_floor) with utility_floor = floor x the target model's utility. `knee` is one of the points, null on
    an empty front, which lists the points that came nearest to the floor as `least_violating` instead.
    """
    trials = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    reports: dict[str, list[Row]] = {
        stratum: [] for stratum in sorted({t["stratum"] for t in trials.values()}, key=float)
    }
    for row in rows:
        if row["kind"] == "report" and row["epoch"] >= 1:
            reports[trials[row["trial"]]["stratum"]].append(row)
    return {"sweep": sweep, "strata": {key: _stratum(found, trials, key, floor) for key, found in reports.items()}}


def _stratum(reports: Sequence[Row], trials: Mapping[str, Row], stratum: str, floor: float) -> dict[str, Any]:
    target = _target_utility(reports, [row for row in trials.values() if row["stratum"] == stratum])
    measured = sorted((row for row in reports if np.isfinite(_objectives(row)).all()), key=_order)
    feasible = [row for row in measured if _ratio(row) >= floor]
    unique = list({_objectives(row): row for row in reversed(feasible)}.values())  # the earliest of equal ones stays
    mask = non_dominated([_objectives(row) for row in unique])
    front = [row for row, kept in zip(unique, mask, strict=True) if kept]
    front.sort(key=lambda row: -row["metrics"]["model_utility"])
    points = [_point(row, trials[row["trial"]]) for row in front]
    reference = (WORST_LOG10, floor * target)
    box = (reference, (BEST_LOG10, target)) if math.isfinite(target) else (None, None)
    best = knee([_objectives(row) for row in front], *box)
    nearest = sorted(measured, key=lambda row: -_ratio(row))[:NEAREST] if not front else []
    result = {
        "points": points,
        "knee": None if best is None else points[best],
        "hypervolume": hypervolume([_objectives(row) for row in front], reference) if front else 0.0,
        "utility_floor": floor * target,
        "target_utility": target,
        "least_violating": [_point(row, trials[row["trial"]]) for row in nearest],
    }
    return jsonable(result)


def _metric(row: Row, name: str) -> float:
    value = row["metrics"].get(name)
    return math.nan if value is None else float(value)


def _objectives(row: Row) -> tuple[float, float]:
    return _metric(row, "log10_forget_quality"), _metric(row, "model_utility")


def _ratio(row: Row) -> float:
    """utility_ratio; one that is missing or not finite is below every floor."""
    ratio = _metric(row, "utility_ratio")
    return ratio if math.isfinite(ratio) else -math.inf


def _order(row: Row) -> tuple[int, str]:
    return row["epoch"], row["trial"]


def _target_utility(reports: Sequence[Row], trials: Sequence[Row]) -> float:
    """The untouched target model's: from a baseline, else from the ratio in any report; NaN if neither has it."""
    baselines = [(trial.get("baseline") or {}).get("model_utility") for trial in trials]
    ratios = [_metric(row, "model_utility") / _ratio(row) for row in reports if _ratio(row) > 0]
    known = [float(value) for value in (*baselines, *ratios) if value is not None and math.isfinite(value)]
    return known[0] if known else math.nan


def _point(row: Row, trial: Row) -> dict[str, Any]:
    return {
        "trial": row["trial"],
        "epoch": row["epoch"],
        "config": trial["config"],
        "metrics": row["metrics"],
        "checkpoint": checkpoint_of(row["trial"], row["epoch"]),
    }
