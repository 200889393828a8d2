"""Which front point is meant by `--select`, `--fraction` and `--min-utility`. Pure; sees only the front's table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from letheon.errors import LetheonError

RULES = ("knee", "max-utility", "max-forget")
_POINT = re.compile(r"(?P<trial>[A-Za-z0-9][\w.-]*)@(?P<epoch>\d{1,6})")


class SelectionError(LetheonError):
    """The selection names nothing, or nothing unique, on this front."""


class EmptyFrontError(SelectionError):
    """No checkpoint of the sweep is feasible, so there is nothing to select from."""

    exit_code = 3


@dataclass(frozen=True)
class Selection:
    """The chosen front point and its stratum (as written in the front's table)."""

    fraction: str
    trial: str
    epoch: int
    point: Mapping[str, Any]


def select(
    front: Mapping[str, Any], rule: str = "knee", fraction: float | None = None, min_utility: float | None = None
) -> Selection:
    """The point that `rule` means: knee, max-utility, max-forget, or TRIAL@EPOCH.

    `min_utility` is a share of the target model's utility (`utility_ratio`). Raises SelectionError, which says what
    there is to choose from.
    """
    strata = {key: stratum for key, stratum in front["strata"].items() if stratum["points"]}
    if not strata:
        raise EmptyFrontError("the front is empty: no checkpoint kept enough utility; widen the search and sweep again")
    named = _POINT.fullmatch(rule)
    if named is None and rule not in RULES:
        raise SelectionError(f"--select {rule!r}: must be one of {', '.join(RULES)} or TRIAL@EPOCH, such as t003@2")
    if fraction is None and named is not None:
        strata = {key: stratum for key, stratum in strata.items() if _find(stratum, named)} or strata
    key = _stratum(strata, fraction)
    point = _named(strata[key], key, named) if named is not None else choose(strata[key], rule, min_utility)
    if min_utility is not None and _utility(point) < min_utility:
        raise SelectionError(_too_low(point, rule, min_utility, strata[key]["points"]))
    return Selection(key, str(point["trial"]), int(point["epoch"]), point)


def choose(stratum: Mapping[str, Any], rule: str, min_utility: float | None = None) -> Mapping[str, Any]:
    """The point of one stratum by rule; `min_utility` limits max-forget and max-utility, the knee is what it is."""
    points: Sequence[Mapping[str, Any]] = stratum["points"]
    if rule == "knee":
        knee = stratum.get("knee")
        if knee is None:
            raise SelectionError("this front has no knee; use --select max-forget or max-utility")
        return next((p for p in points if _key(p) == _key(knee)), knee)
    allowed = [point for point in points if min_utility is None or _utility(point) >= min_utility]
    if not allowed:
        return max(points, key=_utility)
    order = ("log10_forget_quality", "model_utility")
    keys = order if rule == "max-forget" else order[::-1]
    return max(allowed, key=lambda point: tuple(float(point["metrics"][key]) for key in keys))


def _stratum(strata: Mapping[str, Any], fraction: float | None) -> str:
    if fraction is None:
        if len(strata) == 1:
            return next(iter(strata))
        raise SelectionError(f"--fraction is needed: this sweep has fronts for {', '.join(sorted(strata, key=float))}")
    for key in strata:
        if math.isclose(float(key), fraction, rel_tol=1e-9):
            return key
    raise SelectionError(f"--fraction {fraction:g}: there are fronts for {', '.join(sorted(strata, key=float))} only")


def _named(stratum: Mapping[str, Any], key: str, named: re.Match[str]) -> Mapping[str, Any]:
    point = _find(stratum, named)
    if point is None:
        there = ", ".join("{}@{}".format(*_key(point)) for point in stratum["points"])
        raise SelectionError(f"--select {named.group()}: not on the front of fraction {key}, which has {there}")
    return point


def _find(stratum: Mapping[str, Any], named: re.Match[str]) -> Mapping[str, Any] | None:
    wanted = named["trial"], int(named["epoch"])
    return next((point for point in stratum["points"] if _key(point) == wanted), None)


def _too_low(point: Mapping[str, Any], rule: str, min_utility: float, points: Sequence[Mapping[str, Any]]) -> str:
    best = max(points, key=_utility)
    trial, epoch = _key(point)
    if _utility(best) < min_utility:
        return (
            f"--min-utility {min_utility:g}: the front's best is {'{}@{}'.format(*_key(best))} with "
            f"{_utility(best):.3f} of the target model's utility; lower the limit"
        )
    return (
        f"--min-utility {min_utility:g}: {rule} is {trial}@{epoch} with {_utility(point):.3f} of the target model's "
        "utility; use --select max-forget, which takes the most forgetting above the limit"
    )


def _utility(point: Mapping[str, Any]) -> float:
    value = point["metrics"].get("utility_ratio")
    return -math.inf if value is None else float(value)


def _key(point: Mapping[str, Any]) -> tuple[str, int]:
    return str(point["trial"]), int(point["epoch"])
