"""Which forget fraction the next trial is for: a pure rule on what each has cost and how fast its front still moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from letheon.journal import stratum_of
from letheon.searchers.history import History, Progress
from letheon.spec.model import SweepSpec

EQUAL = 0.5
"""What is shared out equally; the rest goes where fronts move."""
LEAST = 1 / 3
"""Of an equal share, for a stratum from which nothing much is expected."""


@dataclass(frozen=True)
class Share:
    """`cost`: what the stratum has taken so far, running trials included, in epochs or seconds. `gains`: (cost when it
    happened, hypervolume gained), the hypervolume in units of the stratum's own box."""

    cost: float
    gains: Sequence[tuple[float, float]]

    def pace(self, window: float) -> float:
        """Hypervolume gained lately: each gain counts half as much for every window that has passed since."""
        return math.fsum(gain * math.exp2((at - self.cost) / window) for at, gain in self.gains)


def next_stratum(shares: Mapping[str, Share], window: float) -> str:
    """The stratum that has had least for what it is entitled to; of equal ones the first in `shares`.

    Half of everything is shared out equally, the other half by pace, so a front that stands still gives way and none
    starves. `window`: the cost of a few whole trials.
    """
    paces = {name: share.pace(window) for name, share in shares.items()}
    total = sum(paces.values())
    entitled = {
        name: EQUAL / len(shares) + (1 - EQUAL) * (paces[name] / total if total else 1 / len(shares)) for name in shares
    }
    return min(shares, key=lambda name: shares[name].cost / entitled[name])


WINDOW_TRIALS = 5


def strata_by_priority(history: History, spec: SweepSpec) -> Iterator[str]:
    """All strata of the sweep, the one that is next first: who has nothing left to try asks for the one behind.

    Costs are epochs, or seconds where the budget counts hours: an epoch of a large fraction takes longer.
    """
    left = {stratum_of(fraction): _share(stratum_of(fraction), history, spec) for fraction in spec.fractions}
    typical = sum(left[name][1] for name in left) / len(left)
    shares = {name: share for name, (share, _) in left.items()}
    while shares:
        following = next_stratum(shares, WINDOW_TRIALS * spec.scheduler.max_epochs * typical)
        yield following
        del shares[following]


def underserved(history: History, spec: SweepSpec) -> Sequence[str]:
    """Strata that have had less than a third of an equal share of the cost: whatever is expected of them, they go
    first."""
    costs = {name: _share(name, history, spec)[0].cost for name in map(stratum_of, spec.fractions)}
    least = LEAST * sum(costs.values()) / len(costs)
    return [name for name, cost in costs.items() if cost < least]


def price(stratum: str, history: History, spec: SweepSpec) -> float:
    """What an epoch costs: 1, or seconds where the budget counts hours."""
    hours = spec.budget.gpu_hours is not None or spec.budget.wall_hours is not None
    return (history.sweep.seconds_per_epoch(stratum) or 1.0) if hours else 1.0


def _share(stratum: str, history: History, spec: SweepSpec) -> tuple[Share, float]:
    """The share, and what an epoch costs. A running trial is counted whole: it may go on to the end."""
    progress, each = history.progress.get(stratum) or Progress(), price(stratum, history, spec)
    open_epochs = sum(
        spec.scheduler.max_epochs - len(trial.points) for trial in history.open_trials if trial.stratum == stratum
    )
    gains = [(epochs * each, gain) for epochs, gain in progress.gains]
    return Share((progress.epochs + open_epochs) * each, gains), each
