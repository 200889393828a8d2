"""A trial's best point so far and its extrapolation: from reports to the points that a rung compares. Pure.

Every epoch leaves a checkpoint, so a trial is worth its best one. But the best trials often dip before they get there,
so a trial must not be judged by its past alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from letheon.pareto.geometry import ParetoSet
from letheon.pareto.objectives import Goals
from letheon.schedulers.rung import Standing

Metrics = Mapping[str, float]

FAR = 1e9
"""The violation of a limit on an unmeasured metric: ranks last, but is no reason to stop at once."""
STRIDE = 2
"""Epochs over which the pace of forgetting is measured and extrapolated."""
UNRECOVERABLE = 0.85
"""Below the floor by more than this share of it, a model is destroyed rather than in a dip."""


def standing(metrics: Metrics, goals: Goals) -> Standing:
    """One report as a rung compares it. Without a finite value of every objective it ranks last."""
    violation = min(goals.violation(metrics), FAR) if goals.measured(metrics) else FAR
    return Standing(goals.ranked_objectives(metrics), violation)


def best(reports: Sequence[Metrics], goals: Goals) -> Standing:
    """The best report: closest to feasible, then with the largest area of all objectives.

    Reports without a value of every objective (a probe measures at some epochs only) count if there is no other.
    """
    known = [report for report in reports if goals.measured(report)] or reports
    return standing(min(known, key=lambda report: (goals.violation(report), -goals.area(report))), goals)


def extrapolate(reports: Sequence[Metrics], goals: Goals) -> Standing:
    """Where the trial will be if it continues to forget at its recent pace and recovers from its dip.

    A utility below the floor counts as on the floor, unless almost nothing is left; the collapse rule decides about
    trials that do not recover. A second objective without a floor, and a third one, are not extrapolated.
    """
    now = standing(reports[-1], goals)
    here, utility, *rest = now.point
    before = goals.ranked_objectives(reports[max(len(reports) - 1 - STRIDE, 0)])[0]
    ideal = goals.x.sign * goals.x.best
    x = min(here + max(here - before, 0.0), ideal) if here < ideal else here
    dip = max(goals.floor - goals.ratio(reports[-1]), 0.0)
    if goals.y.ratio is None or dip > UNRECOVERABLE * goals.floor or not goals.measured(reports[-1]):
        return Standing((x, utility, *rest), now.violation)
    limits = sum(limit.violation(reports[-1]) for limit in goals.all_limits)
    return Standing((x, max(utility, goals.floor), *rest), min(limits, FAR))


def outside_front(expected: Standing, reached: ParetoSet) -> bool:
    """Whether no checkpoint of the stratum covers the expected point yet: the trial may still move the front."""
    return expected.feasible and not reached.covers(expected.point)
