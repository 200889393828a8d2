"""A thread that syncs the journal to MLflow, deletes superfluous weights and shows progress while a sweep runs.

It only reads the journal, so it can be late or fail without harm: the next round catches up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from letheon.checkpoints.retention import Retention
from letheon.common.disk import is_full
from letheon.journal import Journal, Row
from letheon.pareto.incremental import FrontFold
from letheon.pareto.objectives import Goals
from letheon.spec.load import resolved
from letheon.sweep.mirror import Mirror
from letheon.sweep.sweep import Show, Sweep

if TYPE_CHECKING:
    from letheon.tracking.tracker import Tracker

PERIOD_SECONDS = 1.0


class Recorder:
    """Runs within a `with` block, which ends with a last round.

    After an error or a request to stop, that round does not write to MLflow, since the end of the sweep does.
    """

    def __init__(self, journal: Journal, mirror: Mirror, trials: Path, goals: Goals, show: Show) -> None:
        self._journal, self._mirror, self._show = journal, mirror, show
        self._fronts = FrontFold(goals.search_goals)  # audits may choose any point of this front
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
        self._round(self._mirror.sync_all if kind is None else None)

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            try:
                self._round(self._mirror.sync_new)
            except OSError as error:
                if not is_full(error):  # space may be freed; if not, the driver fails as well
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
    """The tracker that records the sweep in MLflow."""
    from letheon.tracking.progress_metrics import ProgressMetrics
    from letheon.tracking.system_metrics import SystemMetrics
    from letheon.tracking.tracker import Extras, Tracker

    extras = Extras(sweep.folder, sweep.goals, SystemMetrics(), ProgressMetrics(sweep.folder))
    return Tracker(sweep.root, sweep.spec.name, sweep.name, resolved(sweep.spec), extras=extras)
