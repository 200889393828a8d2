"""How a sweep ends: its front, its pictures, its registered versions, or the word that it was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.analysis.seeds import front_with_means
from letheon.common.files import write_atomically
from letheon.journal import Journal, Row, summary
from letheon.plots.summary import sweep_summary

if TYPE_CHECKING:
    from letheon.sweep.mirror import Mirror
    from letheon.sweep.sweep import Sweep
    from letheon.tracking.registry import Registration


REPORT, PICTURE = "report.html", "front.png"


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `state`: finished or interrupted; `registration` is None if interrupted. `problem`: what went
    wrong after the search, for people. `over`: why the search ended. `already`: nothing was left to do. `tracking`: the
    store without credentials, `page`: the study on MLflow's pages."""

    name: str
    folder: Path
    state: str
    front: Mapping[str, Any]
    registration: Registration | None
    html: Path | None
    seconds: float
    tracking: str
    page: str | None = None
    problem: str | None = None
    over: str | None = None
    already: bool = False


def _pictures(sweep: Sweep, front: Mapping[str, Any], rows: Sequence[Row], over: str | None) -> dict[str, bytes | str]:
    """Made in the sweep's folder; name -> content, as `Tracker.finish` takes it."""
    from letheon.dashboard.html_report import write_report
    from letheon.dashboard.local import LocalSweep
    from letheon.plots.front import plot_front

    local = LocalSweep(sweep.folder)
    snapshot = replace(local.snapshot(), state="finished", detail=over, now=None)  # its state once this is registered
    picture = plot_front(front, rows)
    write_atomically(sweep.folder / PICTURE, picture)
    page = write_report(sweep.folder / REPORT, snapshot, lambda trial: local.generations(snapshot, trial))
    return {PICTURE: picture, REPORT: page}


def interrupted(sweep: Sweep, mirror: Mirror, journal: Journal, seconds: float, problem: str | None = None) -> Outcome:
    """The front so far; nothing is registered. What the store refuses now, the next resume replays."""
    rows = journal.rows
    mirror.complete(rows)
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    where = mirror.tracker.where
    return Outcome(sweep.name, sweep.folder, "interrupted", front, None, None, seconds, where, problem=problem)


def finish(
    sweep: Sweep, mirror: Mirror, journal: Journal, problem: str | None = None, over: str | None = None
) -> Outcome:
    """The front, its pictures, its registered versions. Doing it again brings all up to date and adds nothing twice.

    A store that refuses now costs only what it would have held: the sweep counts as interrupted, and `resume` has
    nothing to do but this.
    """
    from letheon.tracking.store.errors import TrackingError

    rows = journal.rows
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    files = _pictures(sweep, front, rows, over)
    books = sweep_summary(rows, sweep.goals, sweep.spec.scheduler.max_epochs)
    try:
        registration = mirror.tracker.finish(front, rows, sweep.trials, files, books)
    except TrackingError as error:
        journal.append("sweep", state="interrupted", detail=f"its end is not recorded: {error}")
        mirror.refused(str(error), journal.rows)
        seconds = summary(journal.rows, sweep.name).seconds
        return interrupted(sweep, mirror, journal, seconds, f"{error}; register it: letheon resume {sweep.name}")
    journal.append("sweep", state="finished", detail=over)
    mirror.complete(journal.rows)
    state = summary(journal.rows, sweep.name)
    return Outcome(
        sweep.name,
        sweep.folder,
        "finished",
        front,
        registration,
        sweep.folder / REPORT,
        state.seconds,
        mirror.tracker.where,
        mirror.tracker.page,
        problem,
        over,
    )
