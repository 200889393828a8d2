"""How a sweep ends: its front, its pictures, its registered versions, or the word that it was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.records import Journal, summary
from letheon.seeds import front_with_means

if TYPE_CHECKING:
    from letheon.sweep import Sweep
    from letheon.tracking import Registration, Tracker


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `state`: finished or interrupted; `registration` is None if interrupted. `problem`: what went
    wrong after the search, for people. `over`: why the search ended."""

    name: str
    folder: Path
    state: str
    front: Mapping[str, Any]
    registration: Registration | None
    html: Path | None
    seconds: float
    tracking: str
    problem: str | None = None
    over: str | None = None


def interrupted(sweep: Sweep, tracker: Tracker, journal: Journal, seconds: float) -> Outcome:
    """The front so far; nothing is registered."""
    from letheon.tracking import TrackingError

    rows = journal.rows
    with suppress(TrackingError):  # the journal has it all; the next resume replays it
        tracker.sync(rows)
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    return Outcome(sweep.name, sweep.folder, "interrupted", front, None, None, seconds, tracker.where)


def finish(
    sweep: Sweep, tracker: Tracker, journal: Journal, problem: str | None = None, over: str | None = None
) -> Outcome:
    """The front, its pictures, its registered versions. Doing it again brings all up to date and adds nothing twice."""
    from letheon.report import write_report

    rows = journal.rows
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    files = write_report(sweep.folder, front, rows)
    registration = tracker.finish(front, rows, sweep.trials, files)
    journal.append("sweep", state="finished", detail=over)
    tracker.sync(journal.rows)
    state = summary(journal.rows, sweep.name)
    return Outcome(
        sweep.name,
        sweep.folder,
        "finished",
        front,
        registration,
        sweep.folder / "front.html",
        state.seconds,
        tracker.where,
        problem,
        over,
    )
