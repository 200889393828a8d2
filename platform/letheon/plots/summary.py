"""The summary of a sweep at its end: its cost, and how much each method could forget, as files and numbers. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from letheon.analysis.capacity import UTILITY_KEPT, best_per_method, to_json
from letheon.analysis.cost import cost_of
from letheon.journal import Row, jsonable
from letheon.pareto.objectives import Goals
from letheon.plots.capacity import plot_capacity

COST, CAPACITY, CURVE = "cost.json", "capacity.json", "capacity.png"
_WORK = ("report", "audit", "end")


@dataclass(frozen=True)
class SweepSummary:
    """`files`: content by name; `numbers`: metrics of the sweep's run; `step`: number of reports and audits; `time`: of
    the last row of a trial, in unix seconds. Equal rows give an equal summary.
    """

    files: Mapping[str, bytes | str]
    numbers: Mapping[str, float]
    step: int
    time: float


def sweep_summary(rows: Sequence[Row], goals: Goals | None = None, max_epochs: int | None = None) -> SweepSummary:
    """The summary up to the last row of any trial; later rows of drivers (end, resume) change nothing.

    `goals`: decide what was wasted; `max_epochs`: the scheduler's.
    """
    last = max((i for i, row in enumerate(rows) if row["kind"] in _WORK), default=-1)
    done = rows[: last + 1]
    cost, found = cost_of(done, goals, max_epochs), best_per_method(done, limits=goals.verdict if goals else None)
    capacity = jsonable(to_json(found, UTILITY_KEPT))
    total = cost.total
    numbers = {
        "cost/train_seconds": total.train,
        "cost/evaluation_seconds": total.evaluation,
        "cost/startup_seconds": total.startup,
        "cost/idle_seconds": cost.idle,
        "cost/wasted_seconds": total.wasted,
        "cost/wasted_share": cost.wasted_share,
        "cost/saved_seconds": total.seconds_saved,
        "cost/preparation_seconds": cost.preparation,
        "cost/search_seconds": cost.search,
        "cost/gpu_seconds": cost.gpu_seconds,
        "capacity": float(capacity["capacity"]),
    }
    files: dict[str, bytes | str] = {COST: _text(cost.to_json()), CAPACITY: _text(capacity)}
    if any(result.forget_quality is not None for result in found):
        files[CURVE] = plot_capacity(found, UTILITY_KEPT)
    step = sum(row["kind"] in ("report", "audit") for row in done)
    return SweepSummary(files, numbers, step, float(done[-1]["time"]) if done else 0.0)


def _text(content: Mapping[str, object]) -> str:
    return json.dumps(jsonable(content), indent=1)
