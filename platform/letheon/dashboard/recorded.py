"""Sweeps of any machine, read from the tracking store and cached until the store reports a change."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from letheon.common.errors import LetheonError
from letheon.common.paths import SPEC
from letheon.common.scratch import scratch
from letheon.dashboard.snapshot import Generations, SweepSnapshot
from letheon.journal import summary
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec

if TYPE_CHECKING:
    from letheon.tracking.reader.browse import Browser, SweepRun

LIST_SECONDS = 5.0  # how old the list of sweeps may be
PREFIX = "run-"


class RecordedSweeps:
    """The store's sweeps. `problem`: why the last listing failed; None if it succeeded."""

    def __init__(self, browser: Browser, options: str = "") -> None:
        self._browser, self._options = browser, options
        self._lock = threading.Lock()
        self._listed: tuple[float, list[SweepRun]] = (-LIST_SECONDS, [])
        self._snapshots: dict[str, tuple[tuple[object, ...], SweepSnapshot]] = {}
        self.problem: str | None = None

    @property
    def where(self) -> str:
        return self._browser.where

    def list(self) -> list[SweepRun]:
        """The sweeps, newest first; the last known ones while the store does not answer."""
        with self._lock:
            if time.monotonic() - self._listed[0] >= LIST_SECONDS and self._browser.exists():
                try:
                    self._listed = time.monotonic(), self._browser.sweeps()
                    self.problem = None
                except LetheonError as error:
                    self._listed = time.monotonic(), self._listed[1]
                    self.problem = str(error)
            return self._listed[1]

    def find(self, key: str) -> SweepRun | None:
        """The sweep with this `key_of`; None if the store does not have it."""
        return next((one for one in self.list() if key_of(one) == key), None)

    def snapshot(self, sweep: SweepRun) -> SweepSnapshot:
        """Everything the store has of the sweep. Raises TrackingError."""
        known = self._snapshots.get(sweep.run_id)
        if known is None or known[0] != sweep.stamp:
            known = sweep.stamp, self._read(sweep)
            self._snapshots[sweep.run_id] = known
        return known[1]

    def generations(self, sweep: SweepRun, trial: str) -> Generations:
        """The trial's samples and audits, each empty if not recorded. Raises TrackingError."""
        return self._browser.trial_texts(sweep, trial)

    def _read(self, sweep: SweepRun) -> SweepSnapshot:
        rows, spec = self._browser.rows(sweep), _spec_of(self._browser.spec(sweep))
        web = self._browser.web
        return SweepSnapshot(
            key=key_of(sweep),
            name=sweep.name,
            place="mlflow",
            rows=rows,
            state=sweep.state,
            detail=sweep.detail,
            seconds=summary(rows, sweep.name).seconds,
            spec=spec,
            study=sweep.study,
            options=self._options,
            links={} if web is None else {"mlflow": f"{web}/#/runs/{sweep.run_id}"},
        )


def key_of(sweep: SweepRun) -> str:
    """The sweep's key in addresses; unique even if several machines have sweeps of the same name."""
    return f"{PREFIX}{sweep.run_id}"


def _spec_of(text: bytes | None) -> SweepSpec | None:
    if text is None:
        return None
    with scratch("spec") as temporary:
        file = temporary / SPEC
        file.write_bytes(text)
        try:
            return load_spec(file)
        except (LetheonError, UnicodeDecodeError):
            return None  # written by another version
