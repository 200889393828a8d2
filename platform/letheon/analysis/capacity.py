"""How much each method can forget: its best checkpoint per forget fraction, and the capacity curve. Pure.

The one place that looks across strata. It compares no values there, only whether, per fraction, a checkpoint has
forgotten (its verdict) and kept the utility.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from letheon.journal import Row
from letheon.pareto.front import with_audits
from trainables.config import VerdictConfig
from trainables.evaluation.metrics.catalog import number
from trainables.evaluation.verdict import FORGOTTEN, verdict

UTILITY_KEPT = 0.95


@dataclass(frozen=True)
class MethodResult:
    """One method at one fraction: its best checkpoint among those that keep the utility.

    One that has forgotten beats any that has not, then forget quality decides. `trials`: how many the method had at
    this fraction. The other fields are None if no checkpoint keeps the utility.
    """

    method: str
    fraction: float
    trials: int
    trial: str | None = None
    epoch: int | None = None
    forget_quality: float | None = None
    utility_ratio: float | None = None
    verdict: str | None = None

    @property
    def forgotten(self) -> bool:
        return self.verdict == "forgotten"


def best_per_method(
    rows: Sequence[Row], utility_kept: float = UTILITY_KEPT, limits: VerdictConfig | None = None
) -> list[MethodResult]:
    """Every (method, fraction) in a sweep's journal: methods in order of appearance, then fractions by size."""
    trials = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    groups: dict[str, dict[float, set[str]]] = {}
    for name, trial in trials.items():
        method, fraction = str(trial["config"]["method"]), float(trial["stratum"])
        groups.setdefault(method, {}).setdefault(fraction, set()).add(name)
    reports = [row for row in with_audits(rows) if row["kind"] == "report" and row["epoch"] >= 1]
    kept = [
        row for row in reports if row["trial"] in trials and number(row["metrics"], "utility_ratio") >= utility_kept
    ]
    judged = [
        (row, verdict(row["metrics"], trials[row["trial"]].get("baseline") or {}, limits or VerdictConfig()).name)
        for row in kept
    ]
    return [
        _best(method, fraction, names, [(row, name) for row, name in judged if row["trial"] in names])
        for method, fractions in groups.items()
        for fraction, names in sorted(fractions.items())
    ]


def _best(method: str, fraction: float, names: set[str], judged: Sequence[tuple[Row, str]]) -> MethodResult:
    known = [(row, name) for row, name in judged if math.isfinite(number(row["metrics"], "forget_quality"))]
    if not known:
        return MethodResult(method, fraction, len(names))

    def goodness(one: tuple[Row, str]) -> tuple[bool, float, int, str]:
        row, name = one
        return name == "forgotten", number(row["metrics"], "forget_quality"), -row["epoch"], row["trial"]

    best, name = max(known, key=goodness)
    quality, utility = number(best["metrics"], "forget_quality"), number(best["metrics"], "utility_ratio")
    return MethodResult(method, fraction, len(names), best["trial"], best["epoch"], quality, utility, name)


def capacities(found: Sequence[MethodResult]) -> dict[str, float]:
    """By method, the largest fraction that it can forget while keeping the utility; 0 if none.

    It may still have failed at a smaller fraction, with few trials or too few steps per epoch.
    """
    largest = {result.method: 0.0 for result in found}
    for result in found:
        if result.forgotten:
            largest[result.method] = max(largest[result.method], result.fraction)
    return largest


def to_json(found: Sequence[MethodResult], utility_kept: float) -> dict[str, Any]:
    """The shape of `capacity --json`."""
    by_method = capacities(found)
    return {
        "forgotten_above": FORGOTTEN,
        "utility_kept": utility_kept,
        "capacity": max(by_method.values(), default=0.0),
        "methods": by_method,
        "reaches": [asdict(result) for result in found],
    }
