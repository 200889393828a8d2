"""Selects a front point by `--select`, `--fraction`, `--min-utility` and limits on any metric.

Pure; reads the front's table only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from letheon.common.errors import LetheonError, did_you_mean
from letheon.pareto.front import knee_of, name_of, reasons_of, verdict_of
from letheon.pareto.geometry import Point
from letheon.pareto.labels import DEFAULT, objectives_of
from letheon.pareto.objectives import Axis, is_audit
from trainables.evaluation.metrics.catalog import number
from trainables.evaluation.verdict import NAMES

RULES = ("knee", "max-utility", "max-forget")
_POINT = re.compile(r"(?P<trial>[A-Za-z0-9][\w.-]*)@(?P<epoch>\d{1,6})")


class SelectionError(LetheonError):
    """The selection matches no point of the front, or no single one."""


class EmptyFrontError(SelectionError):
    """No checkpoint of the sweep is feasible, so there is nothing to select from."""

    exit_code = 3


@dataclass(frozen=True)
class Selection:
    """The chosen front point and its stratum, as in the front's table. `doubt`: see `doubt`."""

    fraction: str
    trial: str
    epoch: int
    point: Mapping[str, Any]
    doubt: str | None = None


@dataclass(frozen=True)
class Bound:
    """A user's inclusive limit on one metric of a checkpoint. `option`: its own flag, such as --max-nf4, if any."""

    metric: str
    kind: Literal["max", "min"]
    value: float
    option: str | None = None

    def holds(self, point: Mapping[str, Any]) -> bool:
        """Whether the point satisfies it; False if the point does not have the metric."""
        value = number(point["metrics"], self.metric)
        return value <= self.value if self.kind == "max" else value >= self.value

    def __str__(self) -> str:
        return f"{self.option} {self.value:g}" if self.option else f"--{self.kind} {self.metric}={self.value:g}"


def is_rule(text: str) -> bool:
    """Whether `text` can be resolved from a front's table alone: a rule, or TRIAL@EPOCH (not an alias)."""
    return text in RULES or _POINT.fullmatch(text) is not None


def parse_bound(kind: Literal["max", "min"], text: str) -> Bound:
    """Parse `METRIC=VALUE`. Raises SelectionError."""
    metric, equals, value = text.partition("=")
    try:
        bound = Bound(metric.strip(), kind, float(value))
    except ValueError:
        bound = Bound("", kind, math.nan)
    if not equals or not bound.metric or math.isnan(bound.value):
        raise SelectionError(f"--{kind} {text!r}: must be METRIC=VALUE, such as forget_rouge=0.4")
    return bound


def checked_verdict(text: str | None) -> str | None:
    """The value of `--require` if it is a verdict. Raises SelectionError."""
    if text is not None and text not in NAMES:
        raise SelectionError(f"--require {text!r}: must be one of {', '.join(NAMES)}")
    return text


def select(
    front: Mapping[str, Any],
    rule: str = "knee",
    fraction: float | None = None,
    min_utility: float | None = None,
    bounds: Sequence[Bound] = (),
    require: str | None = None,
) -> Selection:
    """Select a point of `front` (the shape of `front --json`).

    `rule`: knee, max-utility, max-forget, or TRIAL@EPOCH. `min_utility`: a share of the target model's utility
    (`utility_ratio`). `bounds`: a rule chooses among the front points within them. `require`: the verdict that the
    point must have. Raises SelectionError, which lists the choices.
    """
    strata = {key: stratum for key, stratum in front["strata"].items() if stratum["points"]}
    if not strata:
        raise EmptyFrontError("the front is empty: no checkpoint kept enough utility; widen the search and sweep again")
    named = _POINT.fullmatch(rule)
    if named is None and rule not in RULES:
        raise SelectionError(f"--select {rule!r}: must be one of {', '.join(RULES)} or TRIAL@EPOCH, such as t003@2")
    if named is not None:
        strata = _with_point(strata, named, fraction, str(front.get("sweep") or "SWEEP"))
    key = _stratum(strata, fraction)
    objectives = objectives_of(front)
    stratum = _within(strata[key], key, bounds, objectives) if named is None else strata[key]
    found = None if named is None else _find(stratum, named)
    point = found if found is not None else choose(stratum, rule, min_utility, objectives)
    for bound in bounds:
        if not bound.holds(point):
            value = number(point["metrics"], bound.metric)
            has = f"no {bound.metric}" if math.isnan(value) else f"{bound.metric} {value:.4g}"
            raise SelectionError(f"{bound}: {rule} has {has}")
    if require is not None and verdict_of(point) != require:
        raise SelectionError(f"--require {require}: {doubt(stratum, point)}")
    if min_utility is not None and _utility(point) < min_utility:
        raise SelectionError(_below_min_utility(point, rule, min_utility, stratum["points"]))
    return Selection(key, str(point["trial"]), int(point["epoch"]), point, doubt(strata[key], point))


def doubt(stratum: Mapping[str, Any], point: Mapping[str, Any]) -> str | None:
    """Why the point does not count as forgotten, and which others of the front do; None if it does."""
    if verdict_of(point) == "forgotten":
        return None
    reasons = reasons_of(point) or "it was registered without a verdict"
    better = [name_of(one) for one in stratum["points"] if verdict_of(one) == "forgotten"]
    instead = f"these have: {', '.join(better)}" if better else "nothing on this front has forgotten"
    return f"{name_of(point)} is {verdict_of(point)} ({reasons}); {instead}"


def choose(
    stratum: Mapping[str, Any], rule: str, min_utility: float | None = None, objectives: Mapping[str, str] = DEFAULT
) -> Mapping[str, Any]:
    """The point of one stratum by `rule`. `min_utility` limits max-forget and max-utility, not the knee.

    `objectives` as in `front --json`: max-forget takes the best of the first, max-utility the best of the second.
    Raises SelectionError for the knee of a front without one.
    """
    points: Sequence[Mapping[str, Any]] = stratum["points"]
    if rule == "knee":
        knee = stratum.get("knee")
        if knee is None:
            raise SelectionError("this front has no knee; use --select max-forget or max-utility")
        return next((point for point in points if name_of(point) == name_of(knee)), knee)
    allowed = [point for point in points if min_utility is None or _utility(point) >= min_utility]
    if not allowed:
        return max(points, key=_utility)
    values = maximised_objectives(objectives)

    def by_rule(point: Mapping[str, Any]) -> Point:
        x, y, *rest = values(point)
        return (x, y, *rest) if rule == "max-forget" else (y, x, *rest)

    return max(allowed, key=by_rule)


def maximised_objectives(objectives: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Point]:
    """A function of a point: its objective values, signed so that higher is better."""
    axes = [Axis(name, "min" if better == "min" else "max") for name, better in objectives.items()]
    return lambda point: tuple(axis.maximised(point["metrics"]) for axis in axes)


def _within(
    stratum: Mapping[str, Any], key: str, bounds: Sequence[Bound], objectives: Mapping[str, str]
) -> Mapping[str, Any]:
    """The stratum with only the points within all bounds, and their knee between the same reference and ideal."""
    if not bounds:
        return stratum
    points = [point for point in stratum["points"] if all(bound.holds(point) for bound in bounds)]
    if not points:
        raise SelectionError(_out_of_bounds(stratum["points"], key, bounds))
    values = maximised_objectives(objectives)
    ends = (stratum.get("reference"), stratum.get("ideal"))
    known = all(end is not None and None not in end for end in ends)
    corners = [values({"metrics": dict(zip(objectives, end, strict=True))}) for end in ends if end and known]
    best = knee_of(points, [values(point) for point in points], corners)
    return {**stratum, "points": points, "knee": None if best is None else points[best]}


def _out_of_bounds(points: Sequence[Mapping[str, Any]], key: str, bounds: Sequence[Bound]) -> str:
    """The error text: the bound that no point satisfies, and the best value on the front."""
    for bound in bounds:
        found = (number(point["metrics"], bound.metric) for point in points)
        values = [value for value in found if not math.isnan(value)]
        if not values and is_audit(bound.metric):
            return (
                f"{bound}: no checkpoint of fraction {key} was audited with this attack; run letheon audit SWEEP first"
            )
        if not values:
            known = did_you_mean(bound.metric, {name for point in points for name in point["metrics"]})
            return f"{bound}: no checkpoint of fraction {key} has this metric; {known}"
        if not any(bound.holds(point) for point in points):
            best = min(values) if bound.kind == "max" else max(values)
            return f"{bound}: the best on the front of fraction {key} is {best:.4g}; relax the limit"
    limits = " and ".join(map(str, bounds))
    return f"{limits}: no checkpoint on the front of fraction {key} satisfies all; relax one"


def _stratum(strata: Mapping[str, Any], fraction: float | None) -> str:
    if fraction is None:
        if len(strata) == 1:
            return next(iter(strata))
        raise SelectionError(f"--fraction is needed: this sweep has fronts for {', '.join(sorted(strata, key=float))}")
    for key in strata:
        if math.isclose(float(key), fraction, rel_tol=1e-9):
            return key
    raise SelectionError(f"--fraction {fraction:g}: there are fronts for {', '.join(sorted(strata, key=float))} only")


def _with_point(
    strata: Mapping[str, Mapping[str, Any]], named: re.Match[str], fraction: float | None, sweep: str
) -> dict[str, Mapping[str, Any]]:
    """The one front with this checkpoint, for a trial has one fraction.

    Raises SelectionError, which lists the points there are, if it is on none or not on that of `fraction`.
    """
    searched = dict(strata) if fraction is None else {key: strata[key] for key in [_stratum(strata, fraction)]}
    found = {key: stratum for key, stratum in searched.items() if _find(stratum, named)}
    if not found:
        names = {key: ", ".join(map(name_of, searched[key]["points"])) for key in sorted(searched, key=float)}
        if len(names) == 1:
            where = "".join(f"the front of fraction {key}, which has {points}" for key, points in names.items())
        else:
            where = f"a front ({'; '.join(f'{key} has {points}' for key, points in names.items())})"
        why = f"letheon front {sweep} --why-not {named.group()}"
        raise SelectionError(f"--select {named.group()}: not on {where}; why: {why}")
    return found


def _find(stratum: Mapping[str, Any], named: re.Match[str]) -> Mapping[str, Any] | None:
    wanted = name_of(named.groupdict())
    return next((point for point in stratum["points"] if name_of(point) == wanted), None)


def _below_min_utility(
    point: Mapping[str, Any], rule: str, min_utility: float, points: Sequence[Mapping[str, Any]]
) -> str:
    best = max(points, key=_utility)
    if _utility(best) < min_utility:
        return (
            f"--min-utility {min_utility:g}: the front's best is {name_of(best)} with "
            f"{_utility(best):.3f} of the target model's utility; lower the limit"
        )
    return (
        f"--min-utility {min_utility:g}: {rule} is {name_of(point)} with {_utility(point):.3f} of the target model's "
        "utility; use --select max-forget, which takes the most forgetting above the limit"
    )


def _utility(point: Mapping[str, Any]) -> float:
    value = point["metrics"].get("utility_ratio")
    return -math.inf if value is None else float(value)
