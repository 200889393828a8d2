"""When a model is broken: metrics that are not finite, and utility that stays below a floor. Pure.

Models also collapse late, so the rules apply to every epoch. A dip is not a collapse: models that recover are among
the best, and those on the way up are given time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from letheon.schedulers.config import CollapseConfig
from letheon.schedulers.decision import Outcome

ALWAYS_FINITE = ("loss", "utility_ratio", "model_utility")


@dataclass(frozen=True)
class Fault:
    """Why a trial cannot continue, and the outcome it ends with."""

    outcome: Outcome
    reason: str


def infeasible(metrics: Mapping[str, float], epoch: int, required: Sequence[str]) -> Fault | None:
    """A Fault if a `required` metric is missing (`failed`: the trainable is at fault), or any is NaN or infinite."""
    for name in required:
        if metrics.get(name) is None:
            return Fault("failed", f"{name} is missing from the report of epoch {epoch}; the scheduler needs a number")
    for name in dict.fromkeys((*ALWAYS_FINITE, *required)):
        value = metrics.get(name)
        if value is not None and not math.isfinite(value):
            return Fault("collapsed", f"{name} is {value} at epoch {epoch}, not a finite number")
    return None


def below_floor(ratios: Sequence[float], rule: CollapseConfig) -> int:
    """How many utility ratios in a row, up to the newest, are below the floor without a recovery.

    A ratio that is at least `recovery` above the previous one is on its way up, and the count restarts after it.
    """
    count = 0
    for i in range(len(ratios) - 1, -1, -1):
        recovers = i > 0 and ratios[i] - ratios[i - 1] >= rule.recovery
        if ratios[i] >= rule.floor or recovers:
            break
        count += 1
    return count


def collapsed(ratios: Sequence[float], rule: CollapseConfig) -> Fault | None:
    """A Fault once the newest `patience` of `ratios` (utility_ratio of each report, by epoch) are below the floor and
    none of them recovers."""
    count = below_floor(ratios, rule)
    if count < rule.patience:
        return None
    reports = "report" if count == 1 else "reports"
    return Fault("collapsed", f"utility_ratio {ratios[-1]:.4g} < floor {rule.floor:g} for {count} {reports} in a row")


def dip(ratios: Sequence[float], rule: CollapseConfig) -> str:
    """A note for a report below the floor that the rule lets pass; empty if it is not below."""
    count = below_floor(ratios, rule)
    if not count:
        return ""
    return f" (utility_ratio {ratios[-1]:.4g} < floor {rule.floor:g}, {count} of {rule.patience} reports)"
