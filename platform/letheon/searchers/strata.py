"""Which forget fraction the next trial is for: a pure rule on the cost of each and the recent progress of its front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from letheon.journal import stratum_of
from letheon.searchers.history import History, Progress
from letheon.spec.model import SweepSpec

EQUAL_PART = 0.5
"""The part of the cost that is shared equally; the rest follows the progress of the fronts."""
LEAST = 1 / 3
"""A stratum with less than this part of an equal share goes first, whatever is expected of it."""
WINDOW_TRIALS = 5


@dataclass(frozen=True)
class Share:
    """`cost`: the cost of the stratum so far, running trials included, in epochs or seconds. `gains`: (cost at that
    time, hypervolume gained), the hypervolume in units of the stratum's box."""

    cost: float
    gains: Sequence[tuple[float, float]]

    def pace(self, window: float) -> float:
        """Recent gains in hypervolume: each counts half as much for every window that has passed since."""
        return math.fsum(gain * math.exp2((at - self.cost) / window) for at, gain in self.gains)


def next_stratum(shares: Mapping[str, Share], window: float) -> str:
    """The stratum with the lowest cost relative to its entitlement; the first in `shares` of equal ones.

    Half of the cost is shared equally and half in proportion to pace, so that a front that stands still gets less but
    none starves. `window`: the cost of a few whole trials.
    """
    paces = {name: share.pace(window) for name, share in shares.items()}
    total = sum(paces.values())
    equal = 1 / len(shares)
    entitled = {
        name: EQUAL_PART / len(shares) + (1 - EQUAL_PART) * (pace / total if total else equal)
        for name, pace in paces.items()
    }
    return min(shares, key=lambda name: shares[name].cost / entitled[name])


def strata_by_priority(history: History, spec: SweepSpec) -> Iterator[str]:
    """All strata of the sweep in the order in which they should get the next trial.

    Costs are epochs, or seconds if the budget counts hours: an epoch of a large fraction takes longer.
    """
    names = [stratum_of(fraction) for fraction in spec.fractions]
    shares = {name: _share(name, history, spec) for name in names}
    typical_cost = sum(cost_per_epoch(name, history, spec) for name in shares) / len(shares)
    while shares:
        following = next_stratum(shares, WINDOW_TRIALS * spec.scheduler.max_epochs * typical_cost)
        yield following
        del shares[following]


def underserved(history: History, spec: SweepSpec) -> Sequence[str]:
    """Strata whose cost is less than a third of an equal share."""
    costs = {name: _share(name, history, spec).cost for name in map(stratum_of, spec.fractions)}
    least = LEAST * sum(costs.values()) / len(costs)
    return [name for name, cost in costs.items() if cost < least]


def cost_per_epoch(stratum: str, history: History, spec: SweepSpec) -> float:
    """1, or the seconds of an epoch if the budget counts hours."""
    hours = spec.budget.gpu_hours is not None or spec.budget.wall_hours is not None
    return (history.sweep.seconds_per_epoch(stratum) or 1.0) if hours else 1.0


def _share(stratum: str, history: History, spec: SweepSpec) -> Share:
    """Running trials count with all their epochs: they may run to the end."""
    progress, each = history.progress.get(stratum) or Progress(), cost_per_epoch(stratum, history, spec)
    open_epochs = sum(
        spec.scheduler.max_epochs - len(trial.points) for trial in history.open_trials if trial.stratum == stratum
    )
    gains = [(epochs * each, gain) for epochs, gain in progress.gains]
    return Share((progress.epochs + open_epochs) * each, gains)
