"""The one fold of a sweep's journal: its trials, state and clocks. Status, budget, cost, fronts and searchers read it.

Pure, except `status_of`, which reads the folder. Durations come from the rows' times: time without a driver counts as
zero, and so does a clock that was set back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letheon.common.numbers import is_finite
from letheon.common.paths import JOURNAL
from letheon.journal.journal import Journal, Row
from letheon.journal.lock import lock_holder
from letheon.journal.state import ACTIVE, SweepState, TrialState, at_rest, with_liveness
from letheon.journal.store_status import tracking_health


@dataclass
class TrialHistory:
    """One trial so far. `row`: its trial row; `newest`: the report of its last epoch; `end`: its end row.

    `since`: when its current epoch began in its slot, in unix seconds; `billed_since`: the same for the budget, which
    includes preparation after a resume. `epochs`: reports so far. Seconds in its slot: `train`, `evaluation`, and
    `startup` for the rest (start of a slot, reset of a model, checkpoints, waiting for a decision).
    """

    row: Row
    since: float
    billed_since: float
    newest: Row | None = None
    end: Row | None = None
    epochs: int = 0
    train: float = 0.0
    evaluation: float = 0.0
    startup: float = 0.0

    @property
    def stratum(self) -> str:
        return str(self.row["stratum"])

    @property
    def outcome(self) -> str | None:
        return None if self.end is None else str(self.end["outcome"])

    @property
    def last_epoch(self) -> int:
        """The last epoch reported; 0 before the first."""
        return 0 if self.newest is None else int(self.newest["epoch"])

    def take(self, report: Row) -> float:
        """Add a report. Returns the seconds since the previous one, as the budget counts them."""
        now: float = report["time"]
        held, billed = max(0.0, now - self.since), max(0.0, now - self.billed_since)
        train = min(held, _seconds(report, "train_seconds"))
        evaluation = min(held - train, _seconds(report, "eval_seconds") + _seconds(report, "probe_seconds"))
        self.train += train
        self.evaluation += evaluation
        self.startup += held - train - evaluation
        if report["epoch"] >= self.last_epoch:
            self.newest = report
        self.since = self.billed_since = now
        self.epochs += 1
        return billed

    def state(self) -> TrialState:
        end, metrics = self.end or {}, self.row.get("baseline") or {}
        return TrialState(
            trial=self.row["trial"],
            stratum=self.row["stratum"],
            config=self.row["config"],
            state="running" if self.end is None else "finished",
            outcome=end.get("outcome"),
            reason=end.get("reason"),
            epoch=self.last_epoch,
            metrics=metrics if self.newest is None else self.newest["metrics"],
        )


class SweepHistory:
    """All rows so far. One more row costs the same however many came before.

    `open`: trials that have not ended; `ended`: names of those that have, in order. `phase`, `detail`: from the last
    sweep row; `info`: from all sweep rows together. In seconds: `seconds` with a driver, of which `preparation` and
    `search` (until the last trial ended); `slot_seconds` in which trials held a slot; `by_stratum`: epochs and
    slot-seconds. `last_time`: of the last row.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.trials: dict[str, TrialHistory] = {}
        self.open: dict[str, TrialHistory] = {}
        self.ended: list[str] = []
        self.phase = ""
        self.detail: str | None = None
        self.info: dict[str, Any] = {}
        self.epochs = 0
        self.by_stratum: dict[str, tuple[int, float]] = {}
        self.seconds = self.preparation = self.search = self.slot_seconds = 0.0
        self.last_time: float | None = None
        self._tail = 0.0  # seconds without an open trial: they join `search` if another trial starts
        for row in rows:
            self.take(row)

    def take(self, row: Row) -> None:
        """Add a row, in the journal's order. Reports and ends of unknown trials are ignored."""
        kind, now = row["kind"], row["time"]
        trial = self.trials.get(row["trial"]) if kind in ("report", "end") else None
        self._advance_clocks(row)
        if kind == "sweep":
            self._enter_phase(row)
        elif kind == "trial":
            self.trials[row["trial"]] = self.open[row["trial"]] = TrialHistory(row, now, now)
            self.search, self._tail = self.search + self._tail, 0.0
        elif trial is not None and kind == "report":
            seconds = trial.take(row)
            epochs, total = self.by_stratum.get(trial.stratum, (0, 0.0))
            self.by_stratum[trial.stratum] = epochs + 1, total + seconds
            self.epochs += 1
            self.slot_seconds += seconds
        elif trial is not None and kind == "end":
            trial.end = row
            self.open.pop(row["trial"], None)
            self.ended.append(row["trial"])

    def state(self, sweep: str = "", now: float | None = None) -> SweepState:
        """As of the last row. `now` (unix seconds) adds the time since then; give it while a driver runs."""
        phase, seconds = self.phase or "preparing", self.seconds
        if now is not None and self.last_time is not None and phase in ACTIVE:
            seconds += max(0.0, now - self.last_time)
        trials = tuple(trial.state() for trial in self.trials.values())
        return at_rest(SweepState(sweep, phase, self.detail, trials, seconds))

    def seconds_since_report(self, now: float | None) -> dict[str, float]:
        """By open trial, the seconds in its slot since its last report; empty if `now` is None."""
        return {} if now is None else {name: max(0.0, now - self.open[name].since) for name in sorted(self.open)}

    def seconds_per_epoch(self, stratum: str | None = None) -> float | None:
        """Mean slot-seconds per epoch of this stratum, or of all if None; None before the first report."""
        whole = (self.epochs, self.slot_seconds)
        epochs, seconds = whole if stratum is None else self.by_stratum.get(stratum, (0, 0.0))
        return seconds / epochs if epochs else None

    def _advance_clocks(self, row: Row) -> None:
        """Count the time since the last row, unless this row is a start or a resume: no driver ran before it."""
        now, last, self.last_time = row["time"], self.last_time, row["time"]
        if row["kind"] == "sweep" and row["state"] in ACTIVE and (self.phase, row["state"]) != ("preparing", "running"):
            for trial in self.open.values():  # a new driver repeats its epoch
                trial.since = trial.billed_since = now
            return
        gap = 0.0 if last is None else max(0.0, now - last)
        self.seconds += gap
        if self.phase == "preparing":
            self.preparation += gap
        elif self.phase == "running" and self.trials and not self.open:
            self._tail += gap
        elif self.phase == "running":
            self.search += gap

    def _enter_phase(self, row: Row) -> None:
        self.phase, self.detail = row["state"], row.get("detail")
        if isinstance(row.get("info"), Mapping):
            self.info.update(row["info"])
        if self.phase == "running":  # preparation held no slot
            for trial in self.open.values():
                trial.since = row["time"]


def summary(rows: Iterable[Row], sweep: str = "", now: float | None = None) -> SweepState:
    """The state after `rows`. `now` (unix seconds) adds the time since the last row; give it while a driver runs."""
    return SweepHistory(rows).state(sweep, now)


def status_of(folder: str | os.PathLike[str]) -> SweepState:
    """The state of the sweep in `folder`; `interrupted` if its rows say that it runs but its driver is dead."""
    folder, driver = Path(folder), lock_holder(folder)
    state = summary(Journal.read(folder / JOURNAL), folder.name, time.time() if driver else None)
    return with_liveness(state, driver, tracking_health(folder))


def _seconds(report: Row, name: str) -> float:
    value = report["metrics"].get(name)
    return max(0.0, float(value)) if is_finite(value) else 0.0
