"""What a sweep has spent of its budget.

A trial's time counts from its start, or from the driver's restart, to its reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from letheon.journal import SweepHistory

HOUR = 3600.0


@dataclass(frozen=True)
class Spent:
    """Spent so far, in the budget's units. `slot_hours`: hours in which trials held their slot."""

    trials: int = 0
    epochs: int = 0
    gpu_hours: float = 0.0
    wall_hours: float = 0.0
    slot_hours: float = 0.0


def spent(sweep: SweepHistory, gpus: float = 0.0, now: float | None = None, reporting: str | None = None) -> Spent:
    """What the rows so far have spent.

    `gpus`: per trial, all its workers together. `now` (unix seconds) adds the time since the last row; give it while
    the sweep runs. `reporting`: a trial that reports at `now`, whose report counts though it is not a row yet.
    """
    idle = 0.0 if now is None or sweep.last_time is None else max(0.0, now - sweep.last_time)
    trial = sweep.open.get(reporting or "")
    held = sweep.slot_seconds + (0.0 if now is None or trial is None else max(0.0, now - trial.billed_since))
    return Spent(
        trials=len(sweep.trials),
        epochs=sweep.epochs + (reporting is not None),
        gpu_hours=held * gpus / HOUR,
        wall_hours=(sweep.seconds + idle) / HOUR,
        slot_hours=held / HOUR,
    )
