"""Keeps MLflow up to the journal without ever stopping the sweep, and says in `tracking.json` how far it is.

Tracking that is down is tried again later: the journal is the spool, so nothing is lost and nothing is written twice.
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
LATEST_SECONDS = 30.0  # how far the records may be behind a journal that keeps the driver busy
RETRY_SECONDS = 15.0
SHARE = 0.01


class Throttle:
    """When something may be done again: not within `least` seconds, and for at most 1% of the time, but for what must
    not wait longer than `most`."""

    def __init__(self, least: float, most: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._least, self._most, self._clock = least, most, clock
        self._next = clock()

    @property
    def due(self) -> bool:
        return self._clock() >= self._next

    def took(self, seconds: float) -> None:
        """It has just been done, and took so long."""
        self.wait(min(max(self._least, seconds / SHARE), self._most))

    def wait(self, seconds: float) -> None:
        """Not before that."""
        self._next = self._clock() + seconds


class Mirror:
    """One sweep's tracker and its health. One thread at a time."""

    def __init__(self, tracker: Tracker, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`folder`: the sweep's, where `tracking.json` is kept. `clock`: seconds of the sweep."""
        self.tracker, self._health = tracker, TrackingHealth(folder, tracker.where)
        self._uploads = Throttle(UPLOAD_SECONDS, clock=clock)
        self._rounds = Throttle(ROUND_SECONDS, LATEST_SECONDS, clock=clock)
        self._problem: str | None = None
        self._anew = True  # the next round looks up what the store has

    def follow(self, rows: Sequence[Row]) -> str | None:
        """Write what is new, and now and then the journal, if it is time. Returns why the store refused last.

        The longer a round took the later is the next one, so that epochs of a trial share a request: recording costs
        about 1% of the time whatever the pace of trials. A store that refuses is left alone for a while.
        """

        def write() -> None:
            self.tracker.sync(rows)
            if self._uploads.due:
                self._upload(rows)

        if self._rounds.due and (self._problem or self.tracker.behind(rows) or self.tracker.due):
            anew, started = self._anew, time.perf_counter()
            self._attempt(write, rows)
            self._rounds.took(0.0 if anew else time.perf_counter() - started)  # connecting is done once
            if self._problem:
                self._rounds.wait(RETRY_SECONDS)
        return self._problem

    def complete(self, rows: Sequence[Row]) -> str | None:
        """Everything, the journal included: no driver will write more for now. Returns why the store refused."""

        def write() -> None:
            self.tracker.sync(rows)
            self._upload(rows)

        return self._attempt(write, rows)

    def refused(self, cause: str, rows: Sequence[Row]) -> None:
        """Somebody else's attempt to write failed."""
        self._health.degraded(cause, self.tracker.behind(rows))

    def _upload(self, rows: Sequence[Row]) -> None:
        started = time.perf_counter()
        try:
            self.tracker.log_journal(rows)
        finally:
            self._uploads.took(time.perf_counter() - started)

    def _attempt(self, write: Callable[[], None], rows: Sequence[Row]) -> str | None:
        from letheon.tracking.store.errors import TrackingError

        try:
            write()
        except TrackingError as error:
            self.refused(str(error), rows)
            self._problem, self._anew = str(error), True
        else:
            self._health.ok()
            self._problem, self._anew = None, False
        return self._problem
