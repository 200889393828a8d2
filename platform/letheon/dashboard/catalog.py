"""All sweeps that can be seen from here: those under the root, live, and those that only the tracking store knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from letheon.analysis.importance import importance
from letheon.common.errors import LetheonError
from letheon.common.numbers import milliseconds
from letheon.dashboard.local import LocalSweep
from letheon.dashboard.recorded import RecordedSweeps, key_of
from letheon.dashboard.snapshot import Record
from letheon.dashboard.sweep_view import card, sweep_view
from letheon.dashboard.trial_view import trial_view
from letheon.journal import JournalError
from letheon.journal.folders import local_folders

Stamp = tuple[object, ...]


class NoSuchSweep(LetheonError):
    """Neither under the root nor in the tracking store."""

    exit_code = 4


class Library:
    """Views by the sweep's key, each made once for every state of the sweep. May be asked from several threads."""

    def __init__(self, root: Path, recorded: RecordedSweeps, options: str = "") -> None:
        self._root, self._recorded, self._options = root, recorded, options
        self._local: dict[str, LocalSweep] = {}
        self._made: dict[tuple[str, str], tuple[Stamp, Any]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def sweeps(self) -> dict[str, Any]:
        """{"sweeps": cards, the live and newest first; "store": where; "problem": why the store did not answer}."""
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
                record = sweep.record()
            except JournalError as error:
                return {"key": sweep.key, "name": sweep.key, "place": "here", "state": "damaged", "detail": str(error)}
            return card(record)

        made = self._once(sweep.key, "card", sweep.stamp(), make)
        began = made.get("began")
        return {**made, "identity": None if began is None else milliseconds(began)}

    def view(self, key: str) -> dict[str, Any]:
        """The sweep's page. Raises NoSuchSweep, JournalError or TrackingError."""
        stamp, record = self._record(key)
        view: dict[str, Any] = self._once(key, "view", stamp, lambda: sweep_view(record))
        return view

    def seconds(self, key: str) -> float:
        """How long it took to make the sweep's page the last time."""
        return self._seconds.get(f"{key}/view", 0.0)

    def importance(self, key: str) -> dict[str, Any]:
        """What its hyper-parameters matter. Raises as `view` does."""
        stamp, record = self._record(key)
        found: dict[str, Any] = self._once(key, "importance", stamp, lambda: importance(record.rows, record.goals))
        return found

    def trial(self, key: str, trial: str) -> dict[str, Any]:
        """A trial's page. Raises as `view` does, and UnknownTrial."""
        _, record = self._record(key)
        return trial_view(record, trial, *self._said(key, record, trial))

    def stamp(self, key: str) -> Stamp:
        """Changes when the sweep's page would. Raises NoSuchSweep."""
        folder = self._folder(key)
        if folder is not None:
            return self._local_sweep(folder).stamp()
        found = self._recorded.find(key)
        if found is None:
            raise self._missing(key)
        return found.stamp

    def _record(self, key: str) -> tuple[Stamp, Record]:
        folder = self._folder(key)
        with self._turn(key):
            if folder is not None:
                sweep = self._local_sweep(folder)
                stamp = sweep.stamp()  # before the rows: a row that comes in between is seen next time
                return stamp, sweep.record()
            found = self._recorded.find(key)
            if found is None:
                raise self._missing(key)
            return found.stamp, self._recorded.record(found)

    def _said(self, key: str, record: Record, trial: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        folder = self._folder(key)
        if folder is not None:
            return self._local_sweep(folder).said(record, trial)
        found = self._recorded.find(key)
        return ({}, {}) if found is None else self._recorded.said(found, trial)

    def _folder(self, key: str) -> Path | None:
        """Only a name that the listing has is ever joined to the root."""
        return next((folder for folder in local_folders(self._root) if folder.name == key), None)

    def _local_sweep(self, folder: Path) -> LocalSweep:
        with self._lock:
            if folder.name not in self._local:
                self._local[folder.name] = LocalSweep(folder, self._options)
            return self._local[folder.name]

    def _missing(self, key: str) -> NoSuchSweep:
        return NoSuchSweep(f"sweep {key!r} is neither under {self._root} nor in {self._recorded.where}")

    def _once(self, key: str, what: str, stamp: Stamp, make: Any) -> Any:
        with self._turn(f"{key}/{what}"):
            known = self._made.get((key, what))
            if known is None or known[0] != stamp:
                started = time.monotonic()
                known = stamp, make()
                self._made[key, what] = known
                self._seconds[f"{key}/{what}"] = time.monotonic() - started
            return known[1]

    def _turn(self, name: str) -> threading.Lock:
        """One thread makes a thing, the others wait for it."""
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())
