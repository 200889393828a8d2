"""A thread beside the sweep: mirrors the journal into MLflow, deletes superfluous weights, shows progress.

It only reads the journal, so it can be late or fail without harm: whatever it missed it does in its next round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from letheon.spec.load import resolved
from letheon.sweep.sweep import Sweep

if TYPE_CHECKING:
    from letheon.tracking.tracker import Tracker

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from letheon.checkpoints.retention import Retention
from letheon.common.disk import is_full
from letheon.journal import Journal, Row
from letheon.pareto.incremental import FrontFold
from letheon.pareto.objectives import Goals
from letheon.sweep.mirror import Mirror

PERIOD_SECONDS = 1.0


class Recorder:
    """Runs from `with` to the end of the block; the last round is done before the block is left.

    After an error, or a request to stop, that round leaves the records to whoever ends the sweep.
    """

    def __init__(
        self,
        journal: Journal,
        mirror: Mirror,
        trials: Path,
        goals: Goals,
        show: Callable[[Sequence[Row]], None],
    ) -> None:
        self._journal, self._mirror, self._show = journal, mirror, show
        self._fronts = FrontFold(goals.search_goals)  # what an audit may choose from is kept
        self._retention = Retention(trials)
        self._seen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="letheon-recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._round(self._mirror.complete if kind is None else None)

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            try:
                self._round(self._mirror.follow)
            except OSError as error:
                if not is_full(error):  # a full disk may have room again; if not, the driver ends of it
                    raise

    def _round(self, write: Callable[[Sequence[Row]], object] | None) -> None:
        rows = self._journal.rows
        self._show(rows)
        if write is not None:
            write(rows)
        if len(rows) > self._seen:
            for row in rows[self._seen :]:
                self._fronts.take(row)
                self._retention.take(row)
            self._retention.clean(self._fronts.front())
            self._seen = len(rows)


def tracker_of(sweep: Sweep) -> Tracker:
    """Where the sweep is recorded."""
    from letheon.tracking.system_metrics import SystemMetrics
    from letheon.tracking.tracker import Extras, Tracker

    extras = Extras(sweep.folder, sweep.goals, SystemMetrics())
    return Tracker(sweep.root, sweep.spec.name, sweep.name, resolved(sweep.spec), extras=extras)
