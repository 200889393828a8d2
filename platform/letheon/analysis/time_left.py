"""How long a search will still take, estimated from its history. Pure.

Work is counted in trial-epochs. A trial's length is estimated from all trials, including running ones: the share that
ends at an epoch among those that got so far (Kaplan and Meier, 1958). The mean of ended trials alone would be too short
early on, since trials that are stopped early end first. An epoch costs the mean of its stratum, start-up included. The
work is shared among the slots. A budget that is used up earlier ends the search earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Running:
    """A running trial: its stratum, the last epoch it reported, seconds since then."""

    stratum: str
    epoch: int
    seconds: float


@dataclass(frozen=True)
class Workload:
    """What a search has done and still has to do.

    `ended`: lengths in epochs of the trials that have ended. `to_start`: trials still to be started by stratum, "" if
    that is unknown; None if only other limits bound their number. `seconds_per_epoch`: over all strata, None before the
    first report; `by_stratum`: of those that have reported. `left`: of the budget, by limit, in the limit's units.
    """

    slots: int
    max_epochs: int
    running: Sequence[Running] = ()
    ended: Sequence[int] = ()
    to_start: Mapping[str, int] | None = None
    seconds_per_epoch: float | None = None
    by_stratum: Mapping[str, float] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)
    gpus_per_trial: float = 0.0


@dataclass(frozen=True)
class TimeLeft:
    """`seconds`: None if unknown, and then `how` says why. `bound`: `at most` until a trial has ended, since all may be
    stopped early."""

    seconds: float | None
    bound: Literal["about", "at most"]
    how: str


def unknown(why: str) -> TimeLeft:
    return TimeLeft(None, "about", why)


def time_left(work: Workload) -> TimeLeft:
    """Time until the search ends: the shortest of the estimates from its trials and from each limit of its budget."""
    if work.slots < 1:
        return unknown("how many trials run at once is not recorded")
    ends: dict[str, float] = {}
    if "wall_hours" in work.left:
        ends["budget.wall_hours"] = max(0.0, work.left["wall_hours"]) * HOUR
    if work.seconds_per_epoch is not None:
        ends |= _estimates_by_epochs(work, work.seconds_per_epoch)
    if not ends:
        return unknown("no epoch has been reported yet")
    first = min(ends, key=lambda name: ends[name])
    certain = bool(work.ended) or first == "budget.wall_hours"
    return TimeLeft(ends[first], "about" if certain else "at most", f"by {first}")


def _estimates_by_epochs(work: Workload, mean: float) -> dict[str, float]:
    """Seconds left by each limit that is reached through epochs; `mean`: seconds per epoch."""
    ends = {}
    if work.to_start is not None:
        ends["the trials to come"] = _seconds_of_trials(work, work.to_start, mean)
    if "epochs" in work.left:
        ends["budget.epochs"] = max(0.0, work.left["epochs"]) * mean / work.slots
    if "gpu_hours" in work.left and work.gpus_per_trial > 0:
        ends["budget.gpu_hours"] = max(0.0, work.left["gpu_hours"]) * HOUR / work.gpus_per_trial / work.slots
    return ends


def _seconds_of_trials(work: Workload, to_start: Mapping[str, int], mean: float) -> float:
    survival = survival_curve(work.ended, [it.epoch for it in work.running], work.max_epochs)
    each = [_seconds_of_running(work, it, survival, mean) for it in work.running]
    whole = sum(survival)
    fresh = sum(count * whole * work.by_stratum.get(stratum, mean) for stratum, count in to_start.items())
    return max((sum(each) + fresh) / work.slots, max(each, default=0.0))


def _seconds_of_running(work: Workload, trial: Running, survival: Sequence[float], mean: float) -> float:
    seconds = work.by_stratum.get(trial.stratum, mean)
    epochs = expected_epochs_left(survival, trial.epoch)
    return max(0.0, epochs * seconds - min(trial.seconds, seconds))


def survival_curve(ended: Sequence[int], running: Sequence[int], max_epochs: int) -> list[float]:
    """For epochs 1 … max_epochs, the share of trials that run it; 1 beyond where any trial has got."""
    shares, share = [], 1.0
    for epoch in range(max_epochs):
        reached = sum(length >= epoch for length in (*ended, *running))
        share *= 1 - sum(length == epoch for length in ended) / reached if reached else 1.0
        shares.append(share)
    return shares


def expected_epochs_left(survival: Sequence[float], epoch: int) -> float:
    """Expected number of further epochs of a trial that continues after `epoch`."""
    rest = survival[epoch:]
    if not rest:
        return 0.0
    return sum(rest) / rest[0] if rest[0] > 0 else 1.0


def in_words(left: TimeLeft) -> str:
    """`about 4 min left`, `at most 2 h 10 min left`, `time left unknown`."""
    if left.seconds is None or not math.isfinite(left.seconds):
        return "time left unknown"
    minutes = round(left.seconds / MINUTE)
    short = f"{minutes} min" if left.seconds < HOUR else duration(minutes * MINUTE)
    return f"{left.bound} {short if left.seconds >= 1.5 * MINUTE else duration(left.seconds)} left"


def duration(seconds: float) -> str:
    """`40 s`, `12 min 5 s`, `2 h 10 min`, `3 d 4 h`: the two largest units."""
    whole = int(max(0.0, seconds))
    units = (("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60))
    first = next((i for i, (_, count) in enumerate(units) if count), len(units) - 1)
    shown = [f"{count} {name}" for name, count in units[first : first + 2] if count]
    return " ".join(shown) or "0 s"
