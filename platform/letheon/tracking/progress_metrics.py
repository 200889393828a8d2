"""`progress.*` of running trials, from the sweep's `progress.json`, written by the sweep's one writer.

The step of a point is its time in seconds since the start of the sweep, as for system metrics: these points describe
processes, not epochs. They are not in the journal, wait in memory until the store takes them, and are lost with the
process, so what the journal holds is still recorded exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from letheon.journal.activity import read_activity
from letheon.tracking.run_records import Point

PERIOD_SECONDS = 30.0
MOST_WAITING = 5_000
METRICS = ("loss", "tokens_per_second", "seconds_left")


class ProgressMetrics:
    """The newest progress of every trial, at most every PERIOD_SECONDS. `folder`: the sweep's."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock, self._next = folder, clock, 0.0
        self._waiting: dict[str, list[Point]] = {}

    @property
    def due(self) -> bool:
        """Whether it is time for a sample."""
        return self._clock() >= self._next

    @property
    def waiting(self) -> Mapping[str, Sequence[Point]]:
        """By trial, the points that the store does not have yet."""
        return {trial: list(points) for trial, points in self._waiting.items() if points}

    def sample(self, started: int) -> None:
        """Take a sample if one is due; `started`: the sweep's start in milliseconds."""
        if not self.due:
            return
        now = self._clock()
        self._next = now + PERIOD_SECONDS
        moment = round(now * 1000)
        for work in read_activity(self._folder, now).work:
            if work.trial is None or work.silent > PERIOD_SECONDS:
                continue
            values = {name: getattr(work, name) for name in METRICS}
            points = self._waiting.setdefault(work.trial, [])
            points += [
                Point(f"progress.{name}", value, moment, max(0, moment - started) // 1000)
                for name, value in values.items()
                if value is not None
            ]
            del points[:-MOST_WAITING]

    def written(self, trial: str, points: Sequence[Point]) -> None:
        """Drop `points`, the first ones waiting, once the store has them."""
        del self._waiting[trial][: len(points)]
