"""What a trial has shown and where it is going: from its reports to the points that a rung compares. Pure.

Every epoch leaves a checkpoint, so a trial is worth its best one; but the best trials often dip before they get there,
so one that is on its way must not be judged by what it has shown alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from letheon.pareto.geometry import ParetoSet
from letheon.pareto.objectives import Goals
from letheon.schedulers.rung import Standing

Metrics = Mapping[str, float]

FAR = 1e9
"""The violation of a limit on a metric that was not measured: behind all others, but no reason to stop at once."""
STRIDE = 2
"""Epochs over which the pace of forgetting is taken, and for which it is carried on."""
UNRECOVERABLE = 0.85
"""A dip below the floor by this share of it is no dip any more: the model is destroyed."""


def standing(metrics: Metrics, goals: Goals) -> Standing:
    """One report as a rung compares it."""
    return Standing(*goals.ranked_objectives(metrics), min(goals.violation(metrics), FAR))


def best(reports: Sequence[Metrics], goals: Goals) -> Standing:
    """The report that is feasible, or nearest to it, and then has the largest area of both objectives."""
    return standing(min(reports, key=lambda report: (goals.violation(report), -goals.area(report))), goals)


def heading(reports: Sequence[Metrics], goals: Goals) -> Standing:
    """Where the trial will be if it goes on forgetting at its pace of the last epochs and recovers from its dip.

    A dip below the utility floor counts as lying on it, unless next to nothing is left; the collapse rule decides about
    those that do not recover. Where the second objective has no floor it is taken as it is.
    """
    now = standing(reports[-1], goals)
    before = standing(reports[max(len(reports) - 1 - STRIDE, 0)], goals)
    ideal = goals.x.sign * goals.x.best
    x = min(now.x + max(now.x - before.x, 0.0), ideal) if now.x < ideal else now.x
    dip = max(goals.floor - goals.ratio(reports[-1]), 0.0)
    if goals.y.ratio is None or dip > UNRECOVERABLE * goals.floor:
        return Standing(x, now.y, now.violation)
    limits = sum(limit.violation(reports[-1]) for limit in goals.all_limits)
    return Standing(x, max(now.y, goals.floor), min(limits, FAR))


def outside_front(heading: Standing, shown: ParetoSet) -> bool:
    """Whether the heading lies outside of what the stratum's checkpoints have shown: the front may still move there."""
    return heading.feasible and not shown.covers(heading.point)
