"""What a sweep looks like now, computed from its journal. Pure but for `status_of`, which reads the folder.

Does not know how it is shown: `to_json` is what `status --json` prints, and the live table reads the same fields.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from letheon.records.health import tracking_health
from letheon.records.journal import Journal, Row, jsonable
from letheon.records.lock import Owner, owner

ACTIVE = ("preparing", "running")


@dataclass(frozen=True)
class TrialState:
    """One trial: `state` is running until it has an `outcome` (completed, pruned, collapsed, failed), then finished;
    without an outcome it is interrupted while nobody drives the sweep.

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
        """How many trials are running, or interrupted, and how many ended in each outcome."""
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


class SweepFold:
    """A SweepState that grows row by row: what a live view costs does not grow with the journal behind it."""

    def __init__(self) -> None:
        self._phase = ""
        self._detail: str | None = None
        self._trials: dict[str, TrialState] = {}
        self._seconds = 0.0
        self._last: float | None = None

    def take(self, row: Row) -> None:
        """One more row, in the journal's order."""
        kind = row["kind"]
        self._pass(row)
        if kind == "sweep":
            self._phase, self._detail = row["state"], row.get("detail")
        elif kind == "trial":
            self._trials[row["trial"]] = _introduced(row)
        elif kind in ("report", "end") and row["trial"] in self._trials:
            change = _reported if kind == "report" else _ended
            self._trials[row["trial"]] = change(self._trials[row["trial"]], row)

    def _pass(self, row: Row) -> None:
        """Gaps between rows, but for those that a start or a resume ends: nobody worked in them."""
        resumed = row["kind"] == "sweep" and begins(self._phase, row["state"])
        if self._last is not None and not resumed:
            self._seconds += max(0.0, row["time"] - self._last)  # a clock that was set back adds nothing
        self._last = row["time"]

    def state(self, sweep: str = "", now: float | None = None) -> SweepState:
        """As of the last row. `now` (unix seconds) adds the time since: give it while a driver lives."""
        phase, seconds = self._phase or "preparing", self._seconds
        if now is not None and self._last is not None and phase in ACTIVE:
            seconds += max(0.0, now - self._last)
        return _at_rest(SweepState(sweep, phase, self._detail, tuple(self._trials.values()), seconds))


def summary(rows: Iterable[Row], sweep: str = "", now: float | None = None) -> SweepState:
    """The state after `rows`. `now` (unix seconds) adds the time since the last row: give it while a driver lives."""
    fold = SweepFold()
    for row in rows:
        fold.take(row)
    return fold.state(sweep, now)


def seen_from_outside(state: SweepState, driver: Owner | None, tracking: Mapping[str, Any] | None) -> SweepState:
    """What the journal says, put right by what its folder shows: a sweep at work without a driver is interrupted."""
    if state.state in ACTIVE and driver is None:
        return _at_rest(replace(state, state="interrupted", detail="its driver is gone", tracking=tracking))
    return replace(state, tracking=tracking)


def _at_rest(state: SweepState) -> SweepState:
    """No trial runs in a sweep that does not."""
    if state.state in ACTIVE or all(trial.state != "running" for trial in state.trials):
        return state
    trials = (replace(it, state="interrupted") if it.state == "running" else it for it in state.trials)
    return replace(state, trials=tuple(trials))


def status_of(folder: str | os.PathLike[str]) -> SweepState:
    """The state of the sweep in `folder`; one whose driver is dead is `interrupted`, whatever its last row says."""
    folder, driver = Path(folder), owner(folder)
    state = summary(Journal.read(folder / "journal.jsonl"), folder.name, time.time() if driver else None)
    return seen_from_outside(state, driver, tracking_health(folder))


def _introduced(row: Row) -> TrialState:
    metrics = row.get("baseline") or {}
    return TrialState(row["trial"], row["stratum"], row["config"], "running", None, None, 0, metrics)


def _reported(trial: TrialState, row: Row) -> TrialState:
    if row["epoch"] < trial.epoch:
        return trial
    return replace(trial, epoch=row["epoch"], metrics=row["metrics"])


def _ended(trial: TrialState, row: Row) -> TrialState:
    return replace(trial, state="finished", outcome=row["outcome"], reason=row["reason"])


def begins(before: str, state: str) -> bool:
    """Whether a row that says `state` is a driver's first, after one that said `before`: nobody worked in between."""
    return state in ACTIVE and (before, state) != ("preparing", "running")
