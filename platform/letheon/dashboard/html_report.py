"""A sweep's pages as one self-contained HTML file, with the same views as the live dashboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from letheon.analysis.importance import importance
from letheon.common.files import write_atomically
from letheon.dashboard.bundle import page
from letheon.dashboard.snapshot import Generations, SweepSnapshot
from letheon.dashboard.sweep_view import sweep_view
from letheon.dashboard.trial_view import trial_view

MOST_TRIALS = 100
"""Most trials with a page of their own in a report; if there are more, those closest to the front."""


def write_report(path: Path, snapshot: SweepSnapshot, generations: Callable[[str], Generations]) -> str:
    """Write the report atomically to `path`; returns its text. `generations`: trial -> its samples and audits."""
    text = html_report(snapshot, generations)
    write_atomically(path, text.encode())
    return text


def html_report(snapshot: SweepSnapshot, generations: Callable[[str], Generations]) -> str:
    """The report as text."""
    view = sweep_view(snapshot)
    near = sorted(view["trials"], key=lambda trial: (trial["rank"] is None, trial["rank"] or 0, trial["id"]))
    points = [(point["trial"], point["epoch"]) for stratum in view["strata"] for point in stratum["points"]]
    trials = {}
    for name in (trial["id"] for trial in near[:MOST_TRIALS]):
        on_front = sorted(epoch for trial, epoch in points if trial == name)
        trials[name] = trial_view(snapshot, name, *generations(name), on_front=on_front)
    data = {"sweep": view, "importance": importance(snapshot.rows, snapshot.goals), "trials": trials}
    return page(f"{snapshot.name} · Letheon", data)
