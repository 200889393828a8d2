"""Which front point is meant by `--select`, `--fraction`, `--min-utility` and limits on any metric.

Pure; sees only the front's table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from letheon.common.errors import LetheonError, did_you_mean
from letheon.pareto.front import knee_of, verdict_of
from letheon.pareto.labels import DEFAULT, objectives_of
from letheon.pareto.objectives import Axis, is_audit
from trainables.evaluation.metrics.catalog import number
from trainables.evaluation.verdict import NAMES

RULES = ("knee", "max-utility", "max-forget")
_POINT = re.compile(r"(?P<trial>[A-Za-z0-9][\w.-]*)@(?P<epoch>\d{1,6})")


class SelectionError(LetheonError):
    """The selection names nothing, or nothing unique, on this front."""


class EmptyFrontError(SelectionError):
    """No checkpoint of the sweep is feasible, so there is nothing to select from."""

    exit_code = 3


@dataclass(frozen=True)
class Selection:
    """The chosen front point and its stratum (as written in the front's table); `doubt`: why it has not forgotten."""

    fraction: str
    trial: str
    epoch: int
    point: Mapping[str, Any]
    doubt: str | None = None


@dataclass(frozen=True)
class Bound:
    """A limit of the user's on one metric of the checkpoint, the end included. `option`: what it was typed as."""

    metric: str
    kind: Literal["max", "min"]
    value: float
    option: str | None = None

    def holds(self, point: Mapping[str, Any]) -> bool:
        """A metric that the point does not have satisfies nothing."""
        value = number(point["metrics"], self.metric)
        return value <= self.value if self.kind == "max" else value >= self.value

    def __str__(self) -> str:
        return f"{self.option} {self.value:g}" if self.option else f"--{self.kind} {self.metric}={self.value:g}"


def is_rule(text: str) -> bool:
    """Whether a front's table alone says what is meant: a rule, or TRIAL@EPOCH."""
    return text in RULES or _POINT.fullmatch(text) is not None


def parse_bound(kind: Literal["max", "min"], text: str) -> Bound:
    """From `METRIC=VALUE`. Raises SelectionError."""
    metric, equals, value = text.partition("=")
    try:
        bound = Bound(metric.strip(), kind, float(value))
    except ValueError:
        bound = Bound("", kind, math.nan)
    if not equals or not bound.metric or math.isnan(bound.value):
        raise SelectionError(f"--{kind} {text!r}: must be METRIC=VALUE, such as forget_rouge=0.4")
    return bound


def checked_verdict(text: str | None) -> str | None:
    """What `--require` may ask for. Raises SelectionError."""
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
    """The point that `rule` means: knee, max-utility, max-forget, or TRIAL@EPOCH.

    `min_utility` is a share of the target model's utility (`utility_ratio`). With `bounds` the rule chooses among the
    front points that keep to them. `require`: the verdict that it must have. Raises SelectionError, which says what
    there is to choose from.
    """
    strata = {key: stratum for key, stratum in front["strata"].items() if stratum["points"]}
    if not strata:
        raise EmptyFrontError("the front is empty: no checkpoint kept enough utility; widen the search and sweep again")
    named = _POINT.fullmatch(rule)
    if named is None and rule not in RULES:
        raise SelectionError(f"--select {rule!r}: must be one of {', '.join(RULES)} or TRIAL@EPOCH, such as t003@2")
    if named is not None:
        strata = _having(strata, named, fraction, str(front.get("sweep") or "SWEEP"))
    key = _stratum(strata, fraction)
    objectives = objectives_of(front)
    stratum = _bounded(strata[key], key, bounds, objectives) if named is None else strata[key]
    found = None if named is None else _find(stratum, named)
    point = found if found is not None else choose(stratum, rule, min_utility, objectives)
    for bound in bounds:
        if not bound.holds(point):
            raise SelectionError(f"{bound}: {rule} has {_shown(point, bound.metric)}")
    if require is not None and verdict_of(point) != require:
        raise SelectionError(f"--require {require}: {doubt(stratum, point)}")
    if min_utility is not None and _utility(point) < min_utility:
        raise SelectionError(_too_low(point, rule, min_utility, stratum["points"]))
    return Selection(key, str(point["trial"]), int(point["epoch"]), point, doubt(strata[key], point))


def doubt(stratum: Mapping[str, Any], point: Mapping[str, Any]) -> str | None:
    """Why a point should not be taken for one that has forgotten, and whether there is a better one; None if it has."""
    if verdict_of(point) == "forgotten":
        return None
    trial, epoch = _key(point)
    reasons = "; ".join((point.get("verdict") or {}).get("reasons", ())) or "it was registered without a verdict"
    better = ["{}@{}".format(*_key(one)) for one in stratum["points"] if verdict_of(one) == "forgotten"]
    instead = f"these have: {', '.join(better)}" if better else "nothing on this front has forgotten"
    return f"{trial}@{epoch} is {verdict_of(point)} ({reasons}); {instead}"


def choose(
    stratum: Mapping[str, Any], rule: str, min_utility: float | None = None, objectives: Mapping[str, str] = DEFAULT
) -> Mapping[str, Any]:
    """The point of one stratum by rule; `min_utility` limits max-forget and max-utility, the knee is what it is.

    `objectives` as `front --json` has them: the first is what max-forget goes for, the second that of max-utility.
    """
    points: Sequence[Mapping[str, Any]] = stratum["points"]
    if rule == "knee":
        knee = stratum.get("knee")
        if knee is None:
            raise SelectionError("this front has no knee; use --select max-forget or max-utility")
        return next((p for p in points if _key(p) == _key(knee)), knee)
    allowed = [point for point in points if min_utility is None or _utility(point) >= min_utility]
    if not allowed:
        return max(points, key=_utility)
    order = heights_of(objectives)
    return max(allowed, key=lambda point: order(point) if rule == "max-forget" else order(point)[::-1])


def heights_of(objectives: Mapping[str, str]) -> Callable[[Mapping[str, Any]], tuple[float, float]]:
    """Both objectives of a point, so that higher is better."""
    x, y = (Axis(name, "min" if better == "min" else "max") for name, better in objectives.items())
    return lambda point: (x.maximised(point["metrics"]), y.maximised(point["metrics"]))


def _bounded(
    stratum: Mapping[str, Any], key: str, bounds: Sequence[Bound], objectives: Mapping[str, str]
) -> Mapping[str, Any]:
    """The front's points that keep to all bounds, with a knee of their own in the same box."""
    if not bounds:
        return stratum
    points = [point for point in stratum["points"] if all(bound.holds(point) for bound in bounds)]
    if not points:
        raise SelectionError(_out_of_bounds(stratum["points"], key, bounds))
    heights = heights_of(objectives)
    ends = (stratum.get("reference"), stratum.get("ideal"))
    known = all(end is not None and None not in end for end in ends)
    corners = [heights({"metrics": dict(zip(objectives, end, strict=True))}) for end in ends if end and known]
    best = knee_of(points, [heights(point) for point in points], corners)
    return {**stratum, "points": points, "knee": None if best is None else points[best]}


def _out_of_bounds(points: Sequence[Mapping[str, Any]], key: str, bounds: Sequence[Bound]) -> str:
    """Which bound is too much, and what the front has."""
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
    return f"{limits}: no checkpoint on the front of fraction {key} keeps to all; relax one"


def _shown(point: Mapping[str, Any], metric: str) -> str:
    value = number(point["metrics"], metric)
    return f"no {metric}" if math.isnan(value) else f"{metric} {value:.4g}"


def _stratum(strata: Mapping[str, Any], fraction: float | None) -> str:
    if fraction is None:
        if len(strata) == 1:
            return next(iter(strata))
        raise SelectionError(f"--fraction is needed: this sweep has fronts for {', '.join(sorted(strata, key=float))}")
    for key in strata:
        if math.isclose(float(key), fraction, rel_tol=1e-9):
            return key
    raise SelectionError(f"--fraction {fraction:g}: there are fronts for {', '.join(sorted(strata, key=float))} only")


def _having(
    strata: Mapping[str, Mapping[str, Any]], named: re.Match[str], fraction: float | None, sweep: str
) -> dict[str, Mapping[str, Any]]:
    """The one front that has this checkpoint, for a trial has one fraction. Raises SelectionError naming what they have
    if none does, or if another fraction was asked for."""
    asked = dict(strata) if fraction is None else {key: strata[key] for key in [_stratum(strata, fraction)]}
    found = {key: stratum for key, stratum in asked.items() if _find(stratum, named)}
    if not found:
        there = "; ".join(
            f"{key} has {', '.join('{}@{}'.format(*_key(point)) for point in asked[key]['points'])}"
            for key in sorted(asked, key=float)
        )
        what = (
            f"the front of fraction {there.replace(' has', ', which has', 1)}"
            if len(asked) == 1
            else f"a front ({there})"
        )
        why = f"letheon front {sweep} --why-not {named.group()}"
        raise SelectionError(f"--select {named.group()}: not on {what}; why: {why}")
    return found


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
