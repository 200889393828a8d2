"""How long a search will still take, estimated from what it has done so far. Pure.

Work is counted in trial-epochs. A trial's length is estimated from all trials, running ones included: the share that
ends at an epoch among those that came so far (Kaplan and Meier, 1958); to average the ended ones alone would make early
estimates too short, for what is stopped early ends first. An epoch costs what those of its stratum have cost, start-up
included. What is to be done is shared among the slots. A budget that is used up earlier ends the search earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Running:
    """A trial that runs: its stratum, the epoch it has reported, seconds since then."""

    stratum: str
    epoch: int
    seconds: float


@dataclass(frozen=True)
class Workload:
    """What a search has done and has to do.

    `to_start`: trials that will still be started, None where nothing but other limits says how many; by stratum, those
    of an unknown one under "". `ended`: lengths of the trials that have ended, in epochs. `seconds_per_epoch`: of all
    strata together, None before the first report; `by_stratum`: of those that have reported. `left`: what is left of
    the budget, by the names of its limits, in its own units.
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
    """`seconds` is None where nothing can be said, and `how` says why. `bound`: an upper one while no trial has ended,
    for all may be stopped early."""

    seconds: float | None
    bound: Literal["about", "at most"]
    how: str


def unknown(why: str) -> TimeLeft:
    return TimeLeft(None, "about", why)


def time_left(work: Workload) -> TimeLeft:
    """Seconds until the search ends: the shortest of what its trials and each limit of its budget give."""
    if work.slots < 1:
        return unknown("how many trials run at once is not recorded")
    ends: dict[str, float] = {}
    if "wall_hours" in work.left:
        ends["budget.wall_hours"] = max(0.0, work.left["wall_hours"]) * HOUR
    if work.seconds_per_epoch is not None:
        ends |= _of_epochs(work, work.seconds_per_epoch)
    if not ends:
        return unknown("no epoch has been reported yet")
    first = min(ends, key=lambda name: ends[name])
    certain = bool(work.ended) or first == "budget.wall_hours"
    return TimeLeft(ends[first], "about" if certain else "at most", f"by {first}")


def _of_epochs(work: Workload, mean: float) -> dict[str, float]:
    """What takes epochs; `mean`: seconds of one."""
    ends = {}
    if work.to_start is not None:
        ends["the trials to come"] = _of_trials(work, work.to_start, mean)
    if "epochs" in work.left:
        ends["budget.epochs"] = max(0.0, work.left["epochs"]) * mean / work.slots
    if "gpu_hours" in work.left and work.gpus_per_trial > 0:
        ends["budget.gpu_hours"] = max(0.0, work.left["gpu_hours"]) * HOUR / work.gpus_per_trial / work.slots
    return ends


def _of_trials(work: Workload, to_start: Mapping[str, int], mean: float) -> float:
    survival = survival_curve(work.ended, [it.epoch for it in work.running], work.max_epochs)
    each = [_of_running(work, it, survival, mean) for it in work.running]
    whole = sum(survival)
    fresh = sum(count * whole * work.by_stratum.get(stratum, mean) for stratum, count in to_start.items())
    return max((sum(each) + fresh) / work.slots, max(each, default=0.0))


def _of_running(work: Workload, trial: Running, survival: Sequence[float], mean: float) -> float:
    """Of the epoch that it is in, the seconds that it has waited for are over."""
    seconds = work.by_stratum.get(trial.stratum, mean)
    epochs = expected_epochs_left(survival, trial.epoch)
    return max(0.0, epochs * seconds - min(trial.seconds, seconds))


def survival_curve(ended: Sequence[int], running: Sequence[int], max_epochs: int) -> list[float]:
    """For epochs 1 … max_epochs, the share of trials that run it. Where no trial has come so far, all do."""
    shares, share = [], 1.0
    for epoch in range(max_epochs):
        reached = sum(length >= epoch for length in (*ended, *running))
        share *= 1 - sum(length == epoch for length in ended) / reached if reached else 1.0
        shares.append(share)
    return shares


def expected_epochs_left(survival: Sequence[float], epoch: int) -> float:
    """Epochs that a trial which has run `epoch` of them and goes on will still run."""
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
