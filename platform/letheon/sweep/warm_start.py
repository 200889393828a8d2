"""Brings the results of earlier sweeps of the same experiment into a new one, for its searcher only.

These trials do not count for rungs, fronts and budgets. They are copied into the new sweep's journal, so that it can be
resumed without the earlier sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from letheon.common.errors import LetheonError
from letheon.journal import Journal, Row
from letheon.pareto.objectives import Goals
from letheon.preparation.artifacts import Prepared
from letheon.sweep.sweep import Sweep, find_sweep


class WarmStartRefused(LetheonError):
    """The earlier sweep had other data or another target model, so its results do not apply."""


def warm_rows(sweep: Sweep, prepared: Prepared) -> list[dict[str, Any]]:
    """The fields of `warm` rows, one per earlier trial with a report.

    Raises SweepNotFound, and WarmStartRefused for other data or another target model.
    """
    found: list[dict[str, Any]] = []
    for name in sweep.spec.searcher.warm_start:
        rows = Journal.read(find_sweep(name, sweep.root).journal)
        _require_same_experiment(name, rows, prepared)
        trials = _trials(name, rows, sweep.goals.search_goals)
        found += [trial for trial in trials if trial["config"]["method"] in sweep.spec.methods]  # others: of plug-ins
    return found


def _require_same_experiment(name: str, rows: list[Row], prepared: Prepared) -> None:
    facts: Mapping[str, Any] = next((row["info"] for row in reversed(rows) if row.get("info")), {})
    here = {"benchmark_digest": prepared.data, "target_digest": prepared.target.key}
    for what, value in here.items():
        if facts.get(what) != value:
            rule = f"its {what.replace('_', ' ')} is {facts.get(what) or 'not recorded'}, this sweep's is {value}"
            raise WarmStartRefused(
                f"--warm-start {name}: {rule}; data and target model must be the same: name another sweep, or none"
            )


def _trials(name: str, rows: list[Row], goals: Goals) -> Iterator[dict[str, Any]]:
    wanted = {"utility_ratio", *goals.ranked, *(axis.metric for axis in goals.axes)}
    wanted |= {limit.metric for limit in goals.limits if not limit.optional}
    ends = {row["trial"]: row["outcome"] for row in rows if row["kind"] == "end"}
    for trial in (row for row in rows if row["kind"] == "trial"):
        points = [
            [row["epoch"], {key: value for key, value in row["metrics"].items() if key in wanted}]
            for row in rows
            if row["kind"] == "report" and row["trial"] == trial["trial"]
        ]
        if points:
            yield {
                "trial": f"{name}/{trial['trial']}",
                "stratum": trial["stratum"],
                "config": trial["config"],
                "baseline": trial["baseline"],
                "points": points,
                "outcome": ends.get(trial["trial"]),
            }
