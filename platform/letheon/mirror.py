"""Keeps MLflow up to the journal without ever stopping the sweep, and says in `tracking.json` how far it is.

Tracking that is down is tried again later: the journal is the spool, so nothing is lost and nothing is written twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.records import Row, TrackingHealth

if TYPE_CHECKING:
    from letheon.tracking import Tracker

UPLOAD_SECONDS = 60.0
SHARE = 0.01


class Throttle:
    """When the whole journal may be uploaded again: not within a minute, and at most 1 % of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + UPLOAD_SECONDS

    @property
    def due(self) -> bool:
        return self._clock() >= self._next

    def took(self, seconds: float) -> None:
        """An upload that took so long has just ended."""
        self._next = self._clock() + max(UPLOAD_SECONDS, seconds / SHARE)


class Mirror:
    """One sweep's tracker and its health. One thread at a time."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        """`folder`: the sweep's, where `tracking.json` is kept."""
        self.tracker, self._health, self._throttle = tracker, TrackingHealth(folder, tracker.where), Throttle()

    @property
    def due(self) -> bool:
        """Whether there is something to write without a new row."""
        return self.tracker.due

    def follow(self, rows: Sequence[Row]) -> str | None:
        """Write what is new, and now and then the journal. Returns why the store refused, or None."""

        def write() -> None:
            self.tracker.sync(rows)
            if self._throttle.due:
                self._upload(rows)

        return self._attempt(write, rows)

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
        started = time.monotonic()
        try:
            self.tracker.log_journal(rows)
        finally:
            self._throttle.took(time.monotonic() - started)

    def _attempt(self, write: Callable[[], None], rows: Sequence[Row]) -> str | None:
        from letheon.tracking import TrackingError

        try:
            write()
        except TrackingError as error:
            self.refused(str(error), rows)
            return str(error)
        self._health.ok()
        return None
