"""A sweep's pages as one self-contained HTML file: the same views as the live dashboard, for keeping and sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from letheon.analysis.importance import importance
from letheon.common.files import write_atomically
from letheon.dashboard.bundle import page
from letheon.dashboard.snapshot import Record
from letheon.dashboard.sweep_view import sweep_view
from letheon.dashboard.trial_view import trial_view

MOST_TRIALS = 100
"""Pages of single trials in a report: of all, or where there are more, of those nearest to the front."""

Said = Callable[[str], tuple[Mapping[str, Any], Mapping[str, Any]]]


def write_report(path: Path, record: Record, said: Said) -> str:
    """Write the report to `path`, whole or not at all; returns its text. `said`: trial -> its samples and audits."""
    text = html_report(record, said)
    write_atomically(path, text.encode())
    return text


def html_report(record: Record, said: Said) -> str:
    """The report as text."""
    view = sweep_view(record)
    near = sorted(view["trials"], key=lambda trial: (trial["rank"] is None, trial["rank"] or 0, trial["id"]))
    points = [(point["trial"], point["epoch"]) for stratum in view["strata"] for point in stratum["points"]]
    trials = {}
    for name in (trial["id"] for trial in near[:MOST_TRIALS]):
        on_front = sorted(epoch for trial, epoch in points if trial == name)
        trials[name] = trial_view(record, name, *said(name), on_front=on_front)
    data = {"sweep": view, "importance": importance(record.rows, record.goals), "trials": trials}
    return page(f"{record.name} · Letheon", data)
