"""What a sweep looks like now, computed from its journal. Pure but for `status_of`, which reads the folder.

Does not know how it is shown: `to_json` is what `status --json` prints, and the live table reads the same fields.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from letheon.records.health import tracking_health
from letheon.records.journal import Journal, Row, jsonable
from letheon.records.lock import owner

ACTIVE = ("preparing", "running")


@dataclass(frozen=True)
class TrialState:
    """One trial: `state` is running until it has an `outcome` (completed, pruned, collapsed, failed), then finished.

    `epoch` is the last one reported and `metrics` are its metrics; 0 and the baseline before the first report.
    """

    trial: str
    stratum: str
    config: Mapping[str, Any]
    state: str
    outcome: str | None
    reason: str | None
    epoch: int
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        names = ("trial", "state", "outcome", "reason", "epoch", "stratum", "config", "metrics")
        return jsonable({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class SweepState:
    """A sweep: `state` is preparing, running, interrupted, finished or failed; `seconds` without times it was down.

    `tracking`: what `tracking.json` says of its records in MLflow (`health`), None where nothing was recorded yet.
    """

    sweep: str
    state: str
    detail: str | None
    trials: tuple[TrialState, ...]
    seconds: float
    tracking: Mapping[str, Any] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are running and how many ended in each outcome, e.g. {"running": 2, "pruned": 5}."""
        return dict(Counter(trial.outcome or trial.state for trial in self.trials))

    def to_json(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "state": self.state,
            "detail": self.detail,
            "trials": [trial.to_json() for trial in self.trials],
            "counts": self.counts,
            "seconds": round(self.seconds, 3),
            "tracking": None if self.tracking is None else dict(self.tracking),
        }


def summary(rows: Sequence[Row], sweep: str = "", now: float | None = None) -> SweepState:
    """The state after `rows`. `now` (unix seconds) adds the time since the last row: give it while a driver lives."""
    last = next((row for row in reversed(rows) if row["kind"] == "sweep"), None)
    state = "preparing" if last is None else last["state"]
    clock = now if state in ACTIVE else None
    return SweepState(
        sweep, state, None if last is None else last.get("detail"), _trials(rows), _active_seconds(rows, clock)
    )


def status_of(folder: str | os.PathLike[str]) -> SweepState:
    """The state of the sweep in `folder`; one whose driver is dead is `interrupted`, whatever its last row says."""
    folder = Path(folder)
    driver = owner(folder)
    state = summary(Journal.read(folder / "journal.jsonl"), folder.name, time.time() if driver else None)
    state = replace(state, tracking=tracking_health(folder))
    if state.state in ACTIVE and driver is None:
        return replace(state, state="interrupted", detail="its driver is gone")
    return state


def _trials(rows: Sequence[Row]) -> tuple[TrialState, ...]:
    last: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == "report" and row["epoch"] >= last.get(row["trial"], row)["epoch"]:
            last[row["trial"]] = row
    ends = {row["trial"]: row for row in rows if row["kind"] == "end"}
    return tuple(_trial(row, last.get(row["trial"]), ends.get(row["trial"])) for row in rows if row["kind"] == "trial")


def _trial(row: Row, report: Row | None, end: Row | None) -> TrialState:
    return TrialState(
        trial=row["trial"],
        stratum=row["stratum"],
        config=row["config"],
        state="running" if end is None else "finished",
        outcome=None if end is None else end["outcome"],
        reason=None if end is None else end["reason"],
        epoch=0 if report is None else report["epoch"],
        metrics=row.get("baseline") or {} if report is None else report["metrics"],
    )


def begins(before: str, state: str) -> bool:
    """Whether a row that says `state` is a driver's first, after one that said `before`: nobody worked in between."""
    return state in ACTIVE and (before, state) != ("preparing", "running")


def _active_seconds(rows: Sequence[Row], now: float | None) -> float:
    """Sum of the gaps between rows, but for those that a start or a resume ends: nobody worked in them."""
    total, phase = 0.0, ""
    for i, row in enumerate(rows):
        resumed = row["kind"] == "sweep" and begins(phase, row["state"])
        if i and not resumed:
            total += max(0.0, row["time"] - rows[i - 1]["time"])  # a clock that was set back adds nothing
        phase = row["state"] if row["kind"] == "sweep" else phase
    return total + (max(0.0, now - rows[-1]["time"]) if rows and now is not None else 0.0)
