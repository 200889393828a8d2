"""All visible sweeps: live ones under the root, and those that only the tracking store has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.analysis.importance import importance
from letheon.common.errors import LetheonError
from letheon.common.numbers import milliseconds
from letheon.dashboard.local import LocalSweep
from letheon.dashboard.recorded import RecordedSweeps, key_of
from letheon.dashboard.snapshot import Generations, SweepSnapshot
from letheon.dashboard.sweep_view import card, sweep_view
from letheon.dashboard.trial_view import trial_view
from letheon.journal import JournalError
from letheon.journal.activity import NOTHING, Activity
from letheon.journal.folders import local_folders

if TYPE_CHECKING:
    from letheon.tracking.reader.browse import SweepRun

Stamp = tuple[object, ...]


class NoSuchSweep(LetheonError):
    """The sweep is neither under the root nor in the tracking store."""

    exit_code = 4


class Catalog:
    """Views by the sweep's key, each built once per state of the sweep. Safe for use by several threads."""

    def __init__(self, root: Path, recorded: RecordedSweeps, options: str = "") -> None:
        self._root, self._recorded, self._options = root, recorded, options
        self._local: dict[str, LocalSweep] = {}
        self._cache: dict[tuple[str, str], tuple[Stamp, Any]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def sweeps(self) -> dict[str, Any]:
        """{"sweeps": cards, live and newest first; "store": its address; "problem": why the store did not answer}."""
        here = [self._card(folder) for folder in local_folders(self._root)]
        known = {(one["name"], one["identity"]) for one in here}
        elsewhere = [
            {
                "key": key_of(one),
                "name": one.name,
                "study": one.study,
                "place": "mlflow",
                "state": one.state,
                "detail": one.detail,
                "began": one.began,
                "seconds": None if one.ended is None else round(one.ended - one.began, 1),
            }
            for one in self._recorded.list()
            if (one.name, one.started) not in known
        ]
        return {"sweeps": here + elsewhere, "store": self._recorded.where, "problem": self._recorded.problem}

    def _card(self, folder: Path) -> dict[str, Any]:
        sweep = self._local_sweep(folder)

        def make() -> dict[str, Any]:
            try:
                return card(sweep.snapshot())
            except JournalError as error:
                return {"key": sweep.key, "name": sweep.key, "place": "here", "state": "damaged", "detail": str(error)}

        built = self._cached(sweep.key, "card", sweep.stamp(), make)
        began = built.get("began")
        return {**built, "identity": None if began is None else milliseconds(began)}

    def view(self, key: str) -> dict[str, Any]:
        """The sweep's page. Raises NoSuchSweep, JournalError or TrackingError."""
        stamp, snapshot = self._snapshot(key)
        view: dict[str, Any] = self._cached(key, "view", stamp, lambda: sweep_view(snapshot))
        return view

    def build_seconds(self, key: str) -> float:
        """How long the last build of the sweep's page took."""
        return self._seconds.get(f"{key}/view", 0.0)

    def importance(self, key: str) -> dict[str, Any]:
        """How much each hyper-parameter matters. Raises as `view` does."""
        stamp, snapshot = self._snapshot(key)
        found: dict[str, Any] = self._cached(
            key, "importance", stamp, lambda: importance(snapshot.rows, snapshot.goals)
        )
        return found

    def trial(self, key: str, trial: str) -> dict[str, Any]:
        """A trial's page. Raises as `view` does, and UnknownTrial."""
        _, snapshot = self._snapshot(key)
        return trial_view(snapshot, trial, *self._generations(key, snapshot, trial))

    def stamp(self, key: str) -> Stamp:
        """A value that changes whenever the sweep's page does. Raises NoSuchSweep."""
        folder = self._folder(key)
        return self._find_recorded(key).stamp if folder is None else self._local_sweep(folder).stamp()

    def activity(self, key: str) -> Activity:
        """What a live sweep does now. Not a part of its page, which would be built again every second."""
        folder = self._folder(key)
        return NOTHING if folder is None else self._local_sweep(folder).activity()

    def _snapshot(self, key: str) -> tuple[Stamp, SweepSnapshot]:
        folder = self._folder(key)
        with self._lock_of(key):
            if folder is not None:
                sweep = self._local_sweep(folder)
                stamp = sweep.stamp()  # before the rows: a row written in between is seen next time
                return stamp, sweep.snapshot()
            found = self._find_recorded(key)
            return found.stamp, self._recorded.snapshot(found)

    def _generations(self, key: str, snapshot: SweepSnapshot, trial: str) -> Generations:
        folder = self._folder(key)
        if folder is not None:
            return self._local_sweep(folder).generations(snapshot, trial)
        found = self._recorded.find(key)
        return ({}, {}) if found is None else self._recorded.generations(found, trial)

    def _folder(self, key: str) -> Path | None:
        """The local folder of that name, from the listing: a key is never joined to the root as a path."""
        return next((folder for folder in local_folders(self._root) if folder.name == key), None)

    def _local_sweep(self, folder: Path) -> LocalSweep:
        with self._lock:
            if folder.name not in self._local:
                self._local[folder.name] = LocalSweep(folder, self._options)
            return self._local[folder.name]

    def _find_recorded(self, key: str) -> SweepRun:
        found = self._recorded.find(key)
        if found is None:
            raise NoSuchSweep(f"sweep {key!r} is neither under {self._root} nor in {self._recorded.where}")
        return found

    def _cached(self, key: str, kind: str, stamp: Stamp, build: Callable[[], Any]) -> Any:
        with self._lock_of(f"{key}/{kind}"):
            known = self._cache.get((key, kind))
            if known is None or known[0] != stamp:
                started = time.monotonic()
                known = stamp, build()
                self._cache[key, kind] = known
                self._seconds[f"{key}/{kind}"] = time.monotonic() - started
            return known[1]

    def _lock_of(self, name: str) -> threading.Lock:
        """One thread builds a view while others wait for it."""
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())
