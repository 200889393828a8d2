"""Ends a sweep: computes its front, writes its report and registers model versions, or records the interrupt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.analysis.seeds import front_with_means
from letheon.common.files import write_atomically
from letheon.journal import Journal, Row, summary
from letheon.plots.summary import sweep_summary
from letheon.sweep.plan_time import how_far_off

if TYPE_CHECKING:
    from letheon.sweep.mirror import Mirror
    from letheon.sweep.sweep import Sweep
    from letheon.tracking.registry import Registration


REGISTERING = "writing the report and registering the front"
REPORT, PICTURE = "report.html", "front.png"


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    `state`: finished or interrupted; `registration` is None if interrupted. `problem`: what failed after the search.
    `over`: why the search ended. `already`: nothing was left to do. `tracking`: address of the store without
    credentials. `page`: address of the study in MLflow's UI.
    `estimated`: how long the stages took, and what was estimated.
    """

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
    estimated: str | None = None


def _pictures(sweep: Sweep, front: Mapping[str, Any], rows: Sequence[Row], over: str | None) -> dict[str, bytes | str]:
    """Write report and picture to the sweep's folder. Returns name -> content, as `Tracker.finish` takes it."""
    from letheon.dashboard.html_report import write_report
    from letheon.dashboard.local import LocalSweep
    from letheon.plots.front import plot_front

    local = LocalSweep(sweep.folder)
    snapshot = replace(local.snapshot(), state="finished", detail=over, now=None)  # its state once this is registered
    picture = plot_front(front, rows)
    write_atomically(sweep.folder / PICTURE, picture)
    page = write_report(sweep.folder / REPORT, snapshot, lambda trial: local.generations(snapshot, trial))
    return {PICTURE: picture, REPORT: page}


def summarize_interrupted(
    sweep: Sweep, mirror: Mirror, journal: Journal, seconds: float, problem: str | None = None
) -> Outcome:
    """The front so far, without registration. The next resume replays what the store refuses now."""
    rows = journal.rows
    mirror.sync_all(rows)
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    where = mirror.tracker.where
    return Outcome(sweep.name, sweep.folder, "interrupted", front, None, None, seconds, where, problem=problem)


def finish(
    sweep: Sweep, mirror: Mirror, journal: Journal, problem: str | None = None, over: str | None = None
) -> Outcome:
    """Compute the front, write the report and register model versions. Can be repeated; adds nothing twice.

    If the store refuses, the sweep counts as interrupted, and `resume` only repeats this.
    """
    from letheon.tracking.store.errors import TrackingError

    rows = journal.rows
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    files = _pictures(sweep, front, rows, over)
    totals = sweep_summary(rows, sweep.goals, sweep.spec.scheduler.max_epochs)
    try:
        registration = mirror.tracker.finish(front, rows, sweep.trials, files, totals)
    except TrackingError as error:
        journal.append("sweep", state="interrupted", detail=f"its end is not recorded: {error}")
        mirror.report_refusal(str(error), journal.rows)
        seconds = summary(journal.rows, sweep.name).seconds
        problem = f"{error}; register it: letheon resume {sweep.name}"
        return summarize_interrupted(sweep, mirror, journal, seconds, problem)
    journal.append("sweep", state="finished", detail=over)
    mirror.sync_all(journal.rows)
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
        estimated=how_far_off(journal.rows),
    )
