"""Front and journal rows -> what a picture of one stratum shows. Pure; knows no matplotlib and no HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Row = Mapping[str, Any]

RETAIN_LOG10 = 0.0  # the retain model against itself: p = 1


class Spot(NamedTuple):
    """A checkpoint in the plane: log10 forget quality, model utility."""

    x: float
    y: float


@dataclass(frozen=True)
class Path:
    """A trial's way from the target model (where known) through its epochs. `outcome` is None while it runs."""

    trial: str
    method: str
    spots: tuple[Spot, ...]
    epochs: tuple[int, ...]
    outcome: str | None


@dataclass(frozen=True)
class FrontSpot:
    """A front point, with its name `trial@epoch`."""

    name: str
    method: str
    spot: Spot
    is_knee: bool


@dataclass(frozen=True)
class View:
    """All that is drawn for one forget fraction."""

    fraction: str
    paths: tuple[Path, ...]
    front: tuple[FrontSpot, ...]
    floor: float | None
    target: Spot | None
    retain: Spot | None

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(sorted({path.method for path in self.paths} | {spot.method for spot in self.front}))


def views(front: Mapping[str, Any], rows: Sequence[Row]) -> list[View]:
    """One view a stratum, in order of the fraction."""
    return [_view(key, front["strata"][key], rows) for key in sorted(front["strata"], key=float)]


def methods_of(shown: Sequence[View]) -> list[str]:
    """Every method of the sweep, sorted, so that a method has one colour in all pictures."""
    return sorted({method for view in shown for method in view.methods})


def _view(fraction: str, stratum: Mapping[str, Any], rows: Sequence[Row]) -> View:
    trials = {str(row["trial"]): row for row in rows if row["kind"] == "trial" and str(row["stratum"]) == fraction}
    ends = {str(row["trial"]): str(row["outcome"]) for row in rows if row["kind"] == "end"}
    reports: dict[str, list[Row]] = {trial: [] for trial in trials}
    for row in rows:
        if row["kind"] == "report" and str(row["trial"]) in trials:
            reports[str(row["trial"])].append(row)
    paths = (_path(trials[trial], found, ends.get(trial)) for trial, found in reports.items())
    baselines = (spot_of(row.get("baseline") or {}) for row in trials.values())
    return View(
        fraction=fraction,
        paths=tuple(path for path in paths if path.spots),
        front=tuple(_front_spots(stratum)),
        floor=_number(stratum.get("utility_floor")),
        target=next((spot for spot in baselines if spot is not None), None),
        retain=_retain(fraction, rows),
    )


def _path(trial: Row, reports: Sequence[Row], outcome: str | None) -> Path:
    steps = [(0, spot_of(trial.get("baseline") or {}))]
    steps += [(int(row["epoch"]), spot_of(row["metrics"])) for row in reports]
    seen = [(epoch, spot) for epoch, spot in steps if spot is not None]
    method = str((trial.get("config") or {}).get("method", ""))
    return Path(str(trial["trial"]), method, tuple(s for _, s in seen), tuple(e for e, _ in seen), outcome)


def _front_spots(stratum: Mapping[str, Any]) -> list[FrontSpot]:
    knee = stratum.get("knee") or {}
    found = []
    for point in stratum["points"]:
        spot = spot_of(point["metrics"])
        if spot is not None:
            is_knee = (point["trial"], point["epoch"]) == (knee.get("trial"), knee.get("epoch"))
            method = str(point.get("config", {}).get("method", ""))
            found.append(FrontSpot(f"{point['trial']}@{point['epoch']}", method, spot, is_knee))
    return sorted(found, key=lambda item: item.spot)


def spot_of(metrics: Mapping[str, Any]) -> Spot | None:
    """Where these metrics lie, or None if either objective is missing or not finite."""
    x, y = _number(metrics.get("log10_forget_quality")), _number(metrics.get("model_utility"))
    return None if x is None or y is None else Spot(x, y)


def _retain(fraction: str, rows: Sequence[Row]) -> Spot | None:
    """From the sweep rows' `info["retain"][fraction]["model_utility"]`, where the sweep recorded it."""
    for row in reversed(rows):
        if row["kind"] == "sweep":
            metrics = ((row.get("info") or {}).get("retain") or {}).get(fraction) or {}
            utility = _number(metrics.get("model_utility"))
            if utility is not None:
                return Spot(RETAIN_LOG10, utility)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
