"""How a sweep's slots spent their time, and what early stopping saved: arithmetic on journal rows. Pure.

A slot-second is one second of one slot, with or without GPUs. Times come from the rows, so hours without a driver cost
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from letheon.journal import Row, SweepHistory, TrialHistory
from letheon.pareto.front import front_of
from letheon.pareto.objectives import Goals

EARLY = ("pruned", "collapsed")  # decided by the scheduler: the epochs not run were saved
UNDONE = (*EARLY, "failed", "stopped")  # counted as waste if the trial has no front point


@dataclass
class SlotTime:
    """How trials used their slots, in slot-seconds.

    `startup`: all but training and evaluation (start of a slot, reset of a model, checkpoints, waiting for a decision).
    `wasted`: the part of the three in trials that were stopped early or failed and have no front point.
    `epochs_saved`: not run by trials that the scheduler stopped; `seconds_saved`: their cost at the stratum's mean.
    """

    train: float = 0.0
    evaluation: float = 0.0
    startup: float = 0.0
    wasted: float = 0.0
    epochs: int = 0
    epochs_saved: int = 0
    seconds_saved: float = 0.0

    @property
    def busy(self) -> float:
        return self.train + self.evaluation + self.startup


@dataclass(frozen=True)
class Cost:
    """`strata`: by forget fraction. `preparation`, `search`: wall-clock seconds; `idle`: slot-seconds of the search in
    which a slot had no trial; `slots`: 0 if not recorded; `gpus`: per slot."""

    strata: Mapping[str, SlotTime] = field(default_factory=dict)
    preparation: float = 0.0
    search: float = 0.0
    idle: float = 0.0
    slots: int = 0
    gpus: float = 0.0

    @property
    def total(self) -> SlotTime:
        """All strata together."""
        parts = [asdict(work) for work in self.strata.values()]
        return SlotTime(**{name: sum(part[name] for part in parts) for name in asdict(SlotTime())})

    @property
    def gpu_seconds(self) -> float:
        """GPU-seconds in which trials held a slot."""
        return self.total.busy * self.gpus

    @property
    def slot_seconds(self) -> float:
        """The time of all slots, busy or idle: the whole that shares refer to."""
        return self.total.busy + self.idle

    @property
    def wasted_share(self) -> float:
        """`total.wasted` over the time of all slots."""
        return self.total.wasted / self.slot_seconds if self.slot_seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """`total` and `strata` with SlotTime's fields, and the rest; all but counts and shares in seconds."""
        return {
            "total": asdict(self.total),
            "strata": {key: asdict(work) for key, work in self.strata.items()},
            "preparation": self.preparation,
            "search": self.search,
            "idle": self.idle,
            "slots": self.slots,
            "slot_seconds": self.slot_seconds,
            "wasted_share": self.wasted_share,
            "gpu_seconds": self.gpu_seconds,
        }


def cost_of(
    rows: Sequence[Row], goals: Goals | None = None, max_epochs: int | None = None, now: float | None = None
) -> Cost:
    """The cost of a sweep so far.

    `goals`: decide which trials are on the front, and so not wasted. `max_epochs`: the scheduler's; without it, that of
    the longest trial. `now` (unix seconds) adds the time since the last row; give it while a driver runs.
    """
    return cost_so_far(SweepHistory(rows), _on_front(rows, goals), max_epochs, now)


def cost_so_far(
    sweep: SweepHistory, useful: Collection[str], max_epochs: int | None = None, now: float | None = None
) -> Cost:
    """As `cost_of`, from a history. `useful`: the trials that are on the front."""
    longest = max_epochs or max((trial.epochs for trial in sweep.trials.values()), default=0)
    strata: dict[str, SlotTime] = {}
    for name, trial in sweep.trials.items():
        _add(strata.setdefault(trial.stratum, SlotTime()), trial, name in useful, longest)
    for work in strata.values():
        work.seconds_saved = work.epochs_saved * work.busy / work.epochs if work.epochs else 0.0
    since_last = max(0.0, now - sweep.last_time) if now is not None and sweep.last_time is not None else 0.0
    preparation, search = sweep.preparation, sweep.search
    if sweep.phase == "preparing":
        preparation += since_last
    elif sweep.phase == "running" and (sweep.open or not sweep.trials):
        search += since_last
    held = sum(work.busy for work in strata.values()) + sum(sweep.seconds_since_report(now).values())
    slots, gpus = int(sweep.info.get("slots", 0)), float(sweep.info.get("gpus_per_trial", 0.0))
    idle = max(0.0, slots * search - held)
    return Cost({key: strata[key] for key in sorted(strata, key=float)}, preparation, search, idle, slots, gpus)


def _on_front(rows: Sequence[Row], goals: Goals | None) -> set[str]:
    strata = front_of(rows, goals=goals)["strata"].values()
    return {str(point["trial"]) for stratum in strata for point in stratum["points"]}


def _add(work: SlotTime, trial: TrialHistory, useful: bool, longest: int) -> None:
    work.train += trial.train
    work.evaluation += trial.evaluation
    work.startup += trial.startup
    work.epochs += trial.epochs
    if trial.outcome in UNDONE and not useful:
        work.wasted += trial.train + trial.evaluation + trial.startup
    if trial.outcome in EARLY:
        work.epochs_saved += max(0, longest - trial.last_epoch)
