"""All sweeps under a root as a list with their state and progress. Reads each journal incrementally, never writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from letheon.analysis.time_left import duration, in_words
from letheon.common.counting import several, several_of
from letheon.common.errors import LetheonError
from letheon.journal import JournalError
from letheon.journal.folders import local_folders
from letheon.journal.state import ACTIVE
from letheon.monitor.activity import activity_in_a_line
from letheon.monitor.sections import STYLES, counted
from letheon.monitor.terminal import Column, grid
from letheon.monitor.view import LiveView, SpecFacts
from letheon.monitor.watch import LiveSweep, spec_facts
from letheon.spec.load import load_spec


@dataclass(frozen=True)
class Entry:
    """One sweep of the list. `view`: None if its journal is damaged, with the error in `problem`. `age`: seconds since
    its folder last changed."""

    name: str
    view: LiveView | None
    age: float
    problem: str | None = None

    @property
    def state(self) -> str:
        return "damaged" if self.view is None else self.view.state.state

    @property
    def points(self) -> dict[str, int]:
        """Stratum -> points on its front."""
        strata = {} if self.view is None else self.view.strata
        return {key: len(stratum.front.get("points", ())) for key, stratum in strata.items()}

    def to_json(self) -> dict[str, Any]:
        """An element of `sweeps` in `status --json`."""
        view = self.view
        known = {"sweep": self.name, "state": self.state, "detail": self.problem, "age": round(self.age, 3)}
        if view is None:
            return known
        return {
            **known,
            "detail": view.state.detail,
            "trials": len(view.state.trials),
            "planned": view.spec.planned,
            "counts": view.state.counts,
            "epochs": view.epochs,
            "points": self.points,
            "seconds": round(view.state.seconds, 3),
            "left": view.left.seconds,
            "tracking": (view.state.tracking or {}).get("state"),
        }

    def line(self) -> str:
        """The entry as one line of text."""
        if self.view is None:
            return f"{self.name}: damaged: {self.problem}"
        state = self.view.state
        left = f", {in_words(self.view.left)}" if state.state == "running" else ""
        now = activity_in_a_line(self.view.activity) if state.state == "preparing" else None
        trials = several_of(len(state.trials), self.view.spec.planned, "trial")
        front = f"{several(sum(self.points.values()), 'point')} on fronts"
        changed = f"changed {duration(self.age)} ago"
        return f"{self.name}: {state.state}, {trials}, {front}{left}, {changed}{f'; {now}' if now else ''}"


class Overview:
    """The sweeps of one root, last changed first."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sweeps: dict[Path, LiveSweep] = {}

    def look(self) -> list[Entry]:
        """The sweeps now, including those created since the last call."""
        return [self._entry(folder) for folder in local_folders(self._root)]

    def _entry(self, folder: Path) -> Entry:
        age = max(0.0, time.time() - _changed(folder))
        try:
            if folder not in self._sweeps:
                self._sweeps[folder] = LiveSweep(folder, _facts_of(folder))
            return Entry(folder.name, self._sweeps[folder].look(), age)
        except JournalError as error:
            return Entry(folder.name, None, age, str(error))


def _facts_of(folder: Path) -> SpecFacts:
    """The facts of its sweep file; the defaults if the file is missing or from another version."""
    try:
        return spec_facts(load_spec(folder / "spec.yaml"))
    except (OSError, LetheonError):
        return SpecFacts()


def _changed(folder: Path) -> float:
    files = [folder / name for name in ("journal.jsonl", "spec.yaml")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def table(entries: Sequence[Entry], width: int) -> Table:
    """One row per sweep, for a terminal of `width` cells."""
    states = [entry.state for entry in entries]
    columns = [
        Column("sweep", [Text(entry.name, "bold") for entry in entries]),
        Column("state", [Text(state, STYLES.get(state, "bold red")) for state in states]),
        Column("trials", [_trials(entry.view) for entry in entries], True),
        Column("running", [str(_running(entry.view)) for entry in entries], True, 4),
        Column("epochs", [str(entry.view.epochs) if entry.view else "" for entry in entries], True, 3),
        Column("on fronts", [str(sum(entry.points.values())) for entry in entries], True, 1),
        Column("worked", [duration(entry.view.state.seconds) if entry.view else "" for entry in entries], True, 2),
        Column("changed", [f"{duration(entry.age)} ago" for entry in entries], True),
        Column("note", [_note(entry) for entry in entries], rank=5),
    ]
    return grid(columns, width)


def _trials(view: LiveView | None) -> str:
    return "" if view is None else counted(len(view.state.trials), view.spec.planned)


def _running(view: LiveView | None) -> int:
    live = view is not None and view.state.state in ACTIVE
    return view.state.counts.get("running", 0) if view is not None and live else 0


def _note(entry: Entry) -> str:
    if entry.view is None:
        return "journal damaged"
    if (entry.view.state.tracking or {}).get("state") == "degraded":
        return "tracking degraded"
    if entry.state == "preparing":
        return activity_in_a_line(entry.view.activity) or ""
    return in_words(entry.view.left) if entry.state == "running" else ""
