"""Drives a scheduler as the controller does: decide, then add the journal's row."""

from __future__ import annotations

from collections.abc import Mapping

from letheon.schedulers.decision import Decision
from letheon.schedulers.scheduler import SweepScheduler


def report_to(
    scheduler: SweepScheduler, trial: str, stratum: str, epoch: int, metrics: Mapping[str, float]
) -> Decision:
    """The decision for a report, which is then added unless the trial had ended."""
    decision = scheduler.decide(trial, stratum, epoch, metrics)
    if not decision.reason.startswith("the trial has ended already"):
        scheduler.take({"kind": "trial", "trial": trial, "stratum": stratum})
        scheduler.take(
            {"kind": "report", "trial": trial, "epoch": epoch, "metrics": metrics, "decision": decision.to_json()}
        )
    return decision
