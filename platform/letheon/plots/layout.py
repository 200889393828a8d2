"""Front and journal rows -> what the figure of one stratum shows. Pure; independent of matplotlib and HTML.

Spots are maximised: a metric that is better when smaller has the opposite sign, so better is always right and up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from letheon.common.numbers import is_finite
from letheon.pareto.front import name_of, with_audits
from letheon.pareto.geometry import ParetoSet
from letheon.pareto.labels import objectives_of
from letheon.pareto.objectives import Axis

Row = Mapping[str, Any]

_RETAIN: Mapping[str, float] = {"log10_forget_quality": 0.0, "log10_loss_quality": 0.0}
"""The retain model against itself: p = 1. Used if the sweep did not record it."""


class Spot(NamedTuple):
    """A checkpoint in the plane: both objectives, maximised."""

    x: float
    y: float


@dataclass(frozen=True)
class Path:
    """A trial's path from the target model (if known) through its epochs. `outcome`: None while it runs."""

    trial: str
    method: str
    spots: tuple[Spot, ...]
    epochs: tuple[int, ...]
    outcome: str | None


@dataclass(frozen=True)
class FrontSpot:
    """A front point. `name`: `trial@epoch`. `third`: the place of a third objective among the front's, 1 the best."""

    name: str
    method: str
    spot: Spot
    is_knee: bool
    third: float | None = None


@dataclass(frozen=True)
class Bar:
    """A point of the front of means, with the intervals (low, high) of both means."""

    method: str
    spot: Spot
    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """The two objectives of a figure; a third one is the size of the front's marks."""

    x: Axis
    y: Axis
    z: Axis | None = None

    def spot(self, metrics: Mapping[str, Any]) -> Spot | None:
        """The spot of these metrics; None if either objective is missing or not finite."""
        x, y = _number(metrics.get(self.x.metric)), _number(metrics.get(self.y.metric))
        return None if x is None or y is None else Spot(self.x.sign * x, self.y.sign * y)


@dataclass(frozen=True)
class View:
    """All that is drawn for one forget fraction. `floor`: None if the second objective has no floor."""

    fraction: str
    plane: Plane
    paths: tuple[Path, ...]
    front: tuple[FrontSpot, ...]
    floor: float | None
    target: Spot | None
    retain: Spot | None
    means: tuple[Bar, ...] = ()

    @property
    def stairs(self) -> list[Spot]:
        """The front's spots by rising x, without those that only a third objective keeps on the front."""
        return [Spot(x, y) for x, y in ParetoSet(item.spot for item in self.front)]


def views(front: Mapping[str, Any], rows: Sequence[Row]) -> list[View]:
    """One view per stratum, in order of the fraction."""
    plane = plane_of(front)
    means = ((front.get("means") or {}).get("strata")) or {}
    return [
        _view(key, front["strata"][key], rows, plane, _bars(means.get(key), plane))
        for key in sorted(front["strata"], key=float)
    ]


def plane_of(front: Mapping[str, Any]) -> Plane:
    """The objectives of the front."""
    axes = (Axis(name, "min" if better == "min" else "max") for name, better in objectives_of(front).items())
    return Plane(*axes)


def _view(fraction: str, stratum: Mapping[str, Any], rows: Sequence[Row], plane: Plane, means: tuple[Bar, ...]) -> View:
    trials = {str(row["trial"]): row for row in rows if row["kind"] == "trial" and str(row["stratum"]) == fraction}
    ends = {str(row["trial"]): str(row["outcome"]) for row in rows if row["kind"] == "end"}
    reports: dict[str, list[Row]] = {trial: [] for trial in trials}
    for row in with_audits([dict(row) for row in rows]):
        if row["kind"] == "report" and str(row["trial"]) in trials:
            reports[str(row["trial"])].append(row)
    paths = (_path(trials[trial], found, ends.get(trial), plane) for trial, found in reports.items())
    baselines = (plane.spot(row.get("baseline") or {}) for row in trials.values())
    return View(
        fraction=fraction,
        plane=plane,
        paths=tuple(path for path in paths if path.spots),
        front=tuple(_front_spots(stratum, plane)),
        floor=_number(stratum.get("utility_floor")) if plane.y.metric == "model_utility" else None,
        target=next((spot for spot in baselines if spot is not None), None),
        retain=retain_spot(fraction, rows, plane),
        means=means,
    )


def _path(trial: Row, reports: Sequence[Row], outcome: str | None, plane: Plane) -> Path:
    steps = [(0, plane.spot(trial.get("baseline") or {}))]
    steps += [(int(row["epoch"]), plane.spot(row["metrics"])) for row in reports]
    seen = [(epoch, spot) for epoch, spot in steps if spot is not None]
    method = str((trial.get("config") or {}).get("method", ""))
    return Path(str(trial["trial"]), method, tuple(s for _, s in seen), tuple(e for e, _ in seen), outcome)


def _front_spots(stratum: Mapping[str, Any], plane: Plane) -> list[FrontSpot]:
    knee = stratum.get("knee") or {}
    thirds = [math.nan if plane.z is None else plane.z.maximised(point["metrics"]) for point in stratum["points"]]
    low, length = min(thirds, default=0.0), max(thirds, default=0.0) - min(thirds, default=0.0)
    found = []
    for point, value in zip(stratum["points"], thirds, strict=True):
        spot = plane.spot(point["metrics"])
        if spot is not None:
            is_knee = (point["trial"], point["epoch"]) == (knee.get("trial"), knee.get("epoch"))
            third = None if plane.z is None else (value - low) / length if length else 0.5
            found.append(FrontSpot(name_of(point), _method(point), spot, is_knee, third))
    return sorted(found, key=lambda item: item.spot)


def _bars(means: Mapping[str, Any] | None, plane: Plane) -> tuple[Bar, ...]:
    bars = []
    for point in (means or {}).get("points", ()):
        spot = plane.spot(point["metrics"])
        low, high = (plane.spot({name: pair[i] for name, pair in point["interval"].items()}) for i in (0, 1))
        if spot is not None and low is not None and high is not None:
            (x0, y0), (x1, y1) = low, high
            bars.append(Bar(_method(point), spot, (min(x0, x1), max(x0, x1)), (min(y0, y1), max(y0, y1))))
    return tuple(bars)


def _method(point: Mapping[str, Any]) -> str:
    return str(point.get("config", {}).get("method", ""))


def retain_spot(fraction: str, rows: Sequence[Row], plane: Plane) -> Spot | None:
    """The retain model, from the sweep rows' `info["retain"][fraction]` and its audit; None if not recorded."""
    audits = [
        row["metrics"] for row in rows if row["kind"] == "audit" and not row["epoch"] and row["stratum"] == fraction
    ]
    for row in reversed(rows):
        if row["kind"] == "sweep":
            metrics = ((row.get("info") or {}).get("retain") or {}).get(fraction) or {}
            if metrics:
                return plane.spot({**_RETAIN, **metrics, **next(iter(audits), {})})
    return None


def _number(value: object) -> float | None:
    return float(value) if is_finite(value) else None
