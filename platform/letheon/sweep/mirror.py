"""Syncs the journal to MLflow without blocking the sweep and reports the lag in `tracking.json`.

If the store is down, later rounds try again: the journal is the spool, so nothing is lost and nothing written twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.journal import Row, TrackingHealth

if TYPE_CHECKING:
    from letheon.tracking.tracker import Tracker

UPLOAD_SECONDS = 60.0
ROUND_SECONDS = 1.0
LATEST_SECONDS = 30.0  # how far the records may lag behind a slow store
RETRY_SECONDS = 15.0
SHARE = 0.01


class Throttle:
    """Limits repeated work to at most 1% of the time, with pauses of at least `least` and at most `most` seconds."""

    def __init__(self, least: float, most: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._least, self._most, self._clock = least, most, clock
        self._next = clock()

    @property
    def due(self) -> bool:
        return self._clock() >= self._next

    def record_duration(self, seconds: float) -> None:
        """The work was just done and took `seconds`; schedule the next time."""
        self.wait(min(max(self._least, seconds / SHARE), self._most))

    def wait(self, seconds: float) -> None:
        """Schedule the next time in `seconds`."""
        self._next = self._clock() + seconds


class Mirror:
    """One sweep's tracker and its health. Not thread-safe."""

    def __init__(self, tracker: Tracker, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`folder`: the sweep's, for `tracking.json`. `clock`: seconds."""
        self.tracker, self._health = tracker, TrackingHealth(folder, tracker.where)
        self._uploads = Throttle(UPLOAD_SECONDS, clock=clock)
        self._rounds = Throttle(ROUND_SECONDS, LATEST_SECONDS, clock=clock)
        self._problem: str | None = None
        self._reconnects = True  # the next round looks up what the store has

    def sync_new(self, rows: Sequence[Row]) -> str | None:
        """Write new rows, and from time to time the journal file, if due. Returns why the store last refused, or None.

        A long round delays the next one, so that epochs share a request: recording takes about 1% of the time at any
        pace of trials. A store that refuses is tried again after RETRY_SECONDS.
        """

        def write() -> None:
            self.tracker.sync(rows)
            if self._uploads.due:
                self._upload(rows)

        if self._rounds.due and (self._problem or self.tracker.behind(rows) or self.tracker.due):
            reconnects, started = self._reconnects, time.perf_counter()
            self._attempt(write, rows)
            # Connecting happens once, so it does not count.
            self._rounds.record_duration(0.0 if reconnects else time.perf_counter() - started)
            if self._problem:
                self._rounds.wait(RETRY_SECONDS)
        return self._problem

    def sync_all(self, rows: Sequence[Row]) -> str | None:
        """Write all rows and the journal file, at the end of a driver. Returns why the store refused, or None."""

        def write() -> None:
            self.tracker.sync(rows)
            self._upload(rows)

        return self._attempt(write, rows)

    def report_refusal(self, cause: str, rows: Sequence[Row]) -> None:
        """Record in `tracking.json` that the store refused a write."""
        self._health.degraded(cause, self.tracker.behind(rows))

    def _upload(self, rows: Sequence[Row]) -> None:
        started = time.perf_counter()
        try:
            self.tracker.log_journal(rows)
        finally:
            self._uploads.record_duration(time.perf_counter() - started)

    def _attempt(self, write: Callable[[], None], rows: Sequence[Row]) -> str | None:
        from letheon.tracking.store.errors import TrackingError

        try:
            write()
        except TrackingError as error:
            self.report_refusal(str(error), rows)
            self._problem, self._reconnects = str(error), True
        else:
            self._health.ok()
            self._problem, self._reconnects = None, False
        return self._problem
