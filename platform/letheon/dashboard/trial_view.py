"""A trial as the plain data that its page is drawn from. Pure: rows and what models said in, JSON out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.dashboard.record import Record
from letheon.dashboard.trial_columns import compact
from letheon.explain import explain, in_words
from letheon.front import front_of
from letheon.records import Row, jsonable
from letheon.records.journal import trial_row
from letheon.shown import short_config
from letheon.why_not import why_not
from letheon.why_not_words import in_words as why_not_in_words

Said = Mapping[str, Any]


def trial_view(record: Record, trial: str, samples: Said | None = None, audits: Said | None = None) -> dict[str, Any]:
    """Configuration, every metric by epoch, verdicts in words, what the models said, and how to take it home.

    `samples` and `audits` have the shapes of `letheon.samples`. Raises UnknownTrial.
    """
    rows = record.rows
    begun, facts = trial_row(rows, trial), explain(rows, trial)
    eta = None if record.scheduler is None else record.scheduler.reduction_factor
    lines = in_words(rows, trial, eta)
    on_front = _on_front(record, trial)
    return jsonable(
        {
            "id": trial,
            "stratum": begun["stratum"],
            "title": short_config(begun["config"]),
            "config": {name: value for name, value in begun["config"].items() if value is not None},
            "origin": facts["origin"],
            "outcome": facts["outcome"],
            "reason": facts["reason"],
            "summary": lines[-1],
            "decisions": facts["decisions"],
            "metrics": _table(rows, trial, begun),
            "on_front": on_front,
            "why_not": []
            if on_front or not facts["decisions"]
            else why_not_in_words(why_not(rows, trial, record.goals)),
            "samples": _epochs(samples),
            "audits": _epochs(audits),
            "pull": [pull_command(record, trial, epoch, begun["stratum"]) for epoch in on_front],
            "explain": f"letheon explain {shlex.quote(record.name)} {shlex.quote(trial)}{record.options}",
        }
    )


def pull_command(record: Record, trial: str, epoch: int, stratum: str) -> dict[str, Any]:
    """The command that brings a front checkpoint home, to copy."""
    name, to = shlex.quote(record.name), shlex.quote(f"./{record.name}-{trial}-{epoch}")
    command = f"letheon pull {name} --select {shlex.quote(f'{trial}@{epoch}')} --fraction {stratum} --to {to}"
    return {"epoch": epoch, "command": command + record.options}


def _on_front(record: Record, trial: str) -> list[int]:
    strata = front_of(record.rows, goals=record.goals)["strata"].values()
    return sorted(point["epoch"] for one in strata for point in one["points"] if point["trial"] == trial)


def _table(rows: Sequence[Row], trial: str, begun: Row) -> dict[str, Any]:
    """{"epochs": [0, 1, …], "values": {metric: [value at each epoch]}}, metrics in alphabetical order."""
    reports = [row for row in rows if row["kind"] == "report" and row["trial"] == trial]
    steps = [(0, begun.get("baseline") or {}), *((int(row["epoch"]), row["metrics"]) for row in reports)]
    names = sorted({name for _, metrics in steps for name in metrics} - {"epoch"})
    values = {name: [compact(metrics.get(name)) for _, metrics in steps] for name in names}
    return {"epochs": [epoch for epoch, _ in steps], "values": values}


def _epochs(said: Said | None) -> dict[str, Any]:
    return dict((said or {}).get("epochs") or {})
