"""Sweeps with a folder under the root, read as they grow. Never writes."""

from __future__ import annotations

import time
from pathlib import Path

from letheon.analysis.samples import audits_of, samples_of
from letheon.common.errors import LetheonError
from letheon.common.paths import JOURNAL, SPEC
from letheon.dashboard.snapshot import Generations, SweepSnapshot
from letheon.journal import Follower, lock_holder, summary, tracking_health, with_liveness
from letheon.journal.activity import NOTHING, Activity, read_activity
from letheon.journal.state import ACTIVE
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec


class LocalSweep:
    """One sweep's folder. `snapshot()` reads only the rows added since the last call."""

    def __init__(self, folder: Path, options: str = "") -> None:
        self.folder, self._options = folder, options
        self._follower = Follower(folder / JOURNAL)
        self._spec: tuple[float, SweepSpec | None] = (0.0, None)

    @property
    def key(self) -> str:
        return self.folder.name

    def snapshot(self) -> SweepSnapshot:
        """The sweep now. Raises JournalError for a damaged journal."""
        rows = self._follower.rows()
        driver = lock_holder(self.folder)
        now = time.time() if driver else None
        state = with_liveness(summary(rows, self.folder.name, now), driver, tracking_health(self.folder))
        spec = self._read_spec()
        return SweepSnapshot(
            key=self.key,
            name=self.folder.name,
            place="here",
            rows=rows,
            state=state.state,
            detail=state.detail,
            seconds=state.seconds,
            spec=spec,
            study=None if spec is None else spec.name,
            now=now if state.state in ACTIVE else None,
            tracking=state.tracking,
            options=self._options,
        )

    def stamp(self) -> tuple[object, ...]:
        """A cheap value that changes whenever the snapshot does."""
        health = str(tracking_health(self.folder))
        try:
            found = (self.folder / JOURNAL).stat()
        except FileNotFoundError:
            return (None, lock_holder(self.folder) is None, health)
        return (found.st_ino, found.st_size, lock_holder(self.folder) is None, health)

    def activity(self) -> Activity:
        """What its driver and workers do now; nothing if there is no driver."""
        return NOTHING if lock_holder(self.folder) is None else read_activity(self.folder, time.time())

    def generations(self, snapshot: SweepSnapshot, trial: str) -> Generations:
        """The trial's samples and audits. Raises UnknownTrial."""
        return samples_of(self.folder, snapshot.rows, trial), audits_of(snapshot.rows, trial)

    def _read_spec(self) -> SweepSpec | None:
        """The sweep file; None if it does not exist yet, or if another version wrote it and this one refuses it."""
        file = self.folder / SPEC
        try:
            changed = file.stat().st_mtime
            if changed != self._spec[0]:
                self._spec = changed, load_spec(file)
        except (OSError, LetheonError):
            self._spec = 0.0, None
        return self._spec[1]
