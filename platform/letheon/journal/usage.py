"""What a sweep may spend, and what it has spent. The first limit that is reached ends it.

A trial's time counts from its start, or from the driver's restart, to its reports. Takes no decision about single
trials.
"""

from __future__ import annotations

from dataclasses import dataclass

from letheon.journal import SweepHistory

HOUR = 3600.0


@dataclass(frozen=True)
class Spent:
    """What has gone so far, in the budget's own units; `slot_hours`: hours that trials held their slot."""

    trials: int = 0
    epochs: int = 0
    gpu_hours: float = 0.0
    wall_hours: float = 0.0
    slot_hours: float = 0.0


def spent(sweep: SweepHistory, gpus: float = 0.0, now: float | None = None, reporting: str | None = None) -> Spent:
    """`gpus`: of one trial, over all its workers. `now` (unix seconds) adds the time since the last row: give it while
    the sweep runs. `reporting`: a trial whose report of now is not among the rows yet, but counts."""
    idle = 0.0 if now is None or sweep.last is None else max(0.0, now - sweep.last)
    trial = sweep.open.get(reporting or "")
    held = sweep.slot_seconds + (0.0 if now is None or trial is None else max(0.0, now - trial.billed_since))
    return Spent(
        trials=len(sweep.trials),
        epochs=sweep.epochs + (reporting is not None),
        gpu_hours=held * gpus / HOUR,
        wall_hours=(sweep.seconds + idle) / HOUR,
        slot_hours=held / HOUR,
    )
