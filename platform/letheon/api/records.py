"""A sweep of the tracking store, read like one under the root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from letheon.dashboard.recorded import RecordedSweeps, key_of
from letheon.dashboard.snapshot import Generations, SweepSnapshot
from letheon.journal.activity import NOTHING, Activity

if TYPE_CHECKING:
    from letheon.tracking.reader.browse import Browser, SweepRun


class Records(Protocol):
    """Where a run is read from: `LocalSweep`, or `StoredSweep`."""

    def snapshot(self) -> SweepSnapshot:
        """The sweep now."""

    def generations(self, snapshot: SweepSnapshot, trial: str) -> Generations:
        """The texts and audits of a trial."""

    def activity(self) -> Activity:
        """What runs now."""


class StoredSweep:
    """A sweep that the store has. Every method raises TrackingError if the store does not answer."""

    def __init__(self, browser: Browser, run: SweepRun) -> None:
        self._recorded, self._run = RecordedSweeps(browser), run

    def snapshot(self) -> SweepSnapshot:
        """The sweep as of a few seconds ago at most."""
        self._run = self._recorded.find(key_of(self._run)) or self._run
        return self._recorded.snapshot(self._run)

    def generations(self, snapshot: SweepSnapshot, trial: str) -> Generations:
        return self._recorded.generations(self._run, trial)

    def activity(self) -> Activity:
        """Nothing: only the machine that runs the sweep knows."""
        return NOTHING
