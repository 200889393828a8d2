"""Views of sweeps in every state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from letheon.journal.activity import Activity, Work
from letheon.journal.state import ACTIVE
from letheon.monitor.view import LiveFold, LiveView, SpecFacts
from tests.letheon.dashboard.support import LongStory
from tests.letheon.tracking.tracking_support import START, Story, story

Rows = list[dict[str, Any]]

SPEC = SpecFacts(
    planned=40, by_stratum={"0.05": 20, "0.1": 20}, strata=("0.05", "0.1"), max_epochs=10, gpus_per_trial=0.5
)
DEGRADED = {
    "state": "degraded",
    "since": START,
    "cause": "http://records.example:5000 does not answer: connection refused",
    "behind": 17,
    "where": "http://records.example:5000",
}


def view_of(
    rows: Rows, state: str | None = None, spec: SpecFacts = SPEC, tracking: Mapping[str, Any] | None = None
) -> LiveView:
    """The view ten seconds after the last row, with a living driver."""
    fold, now = LiveFold(spec), (rows[-1]["time"] if rows else START) + 10.0
    for row in rows:
        fold.take(row)
    seen = fold.state("study", now)
    seen = replace(seen, state=state or seen.state, tracking=tracking)
    return fold.view(seen, now if seen.state in ACTIVE else None)


def running_rows() -> Rows:
    """Twenty trials of two fractions, the last three still running."""
    rows = LongStory(20).rows[:-1]
    ended = {row["trial"] for row in rows if row["kind"] == "end"} - {"t017", "t018", "t019"}
    kept = [row for row in rows if row["kind"] != "end" or row["trial"] in ended]
    return [{**row, "seq": i} for i, row in enumerate(kept, start=1)]


def failed_rows() -> Rows:
    tale = Story()
    tale.rows = story()
    detail = "PreparationFailed: the target model was not made: \x1b[31mout of memory\x1b[0m\nsee logs/" + "x" * 200
    tale.add("sweep", state="failed", detail=detail)
    return tale.rows


def preparing_rows() -> Rows:
    return story()[:1]


WORK = (
    Work("t018", "training", 25.0, 1.0, "t018", 3, 12, 40, 2.104, 8124.6, 58.0),
    Work("t019", "generating answers", 340.0, 95.0, "t019", 1, 7, 8),
)
MAKING = Activity(
    artifacts=[("base model", True), ("target model", False), ("retain model 0.1", False), ("baseline 0.1", False)],
    work=[Work("target model", "training", 61.0, 2.0, step=120, of=400, loss=1.5, tokens_per_second=900.0)],
)

STATES: Mapping[str, LiveView] = {
    "empty": view_of([]),
    "preparing": view_of(preparing_rows()),
    "making models": replace(view_of(preparing_rows()), activity=MAKING),
    "at work": replace(view_of(running_rows()), activity=Activity("registering the front", 12.0, work=WORK)),
    "without trials": view_of(story()[:2]),
    "running": view_of(running_rows()),
    "degraded": view_of(running_rows(), tracking=DEGRADED),
    "interrupted": view_of(running_rows(), "interrupted"),
    "failed": view_of(failed_rows()),
    "finished": view_of(LongStory(20).rows),
    "unknown file": view_of(running_rows(), spec=SpecFacts()),
    "hours": view_of(running_rows(), spec=replace(SPEC, planned=None, by_stratum={}, budget={"gpu_hours": 8.0})),
}
