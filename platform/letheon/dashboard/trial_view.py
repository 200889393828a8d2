"""A trial as the plain data that its page is drawn from. Pure: rows and what models said in, JSON out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.analysis.explain import decision_in_words, explain, in_words
from letheon.analysis.why_not import why_not
from letheon.analysis.why_not_text import in_words as why_not_in_words
from letheon.common.numbers import compact
from letheon.dashboard.snapshot import Record
from letheon.dashboard.trial_columns import verdicts_of
from letheon.journal import Row, jsonable
from letheon.journal.journal import trial_row
from letheon.pareto.front import front_of, with_audits
from letheon.pareto.labels import short_config

Said = Mapping[str, Any]


def trial_view(
    record: Record,
    trial: str,
    samples: Said | None = None,
    audits: Said | None = None,
    on_front: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Configuration, every metric by epoch, decisions in words, what the models said, and how to download it.

    `samples` and `audits` have the shapes of `letheon.analysis.samples`. `on_front`: epochs of the trial that
    are on the front,
    where the caller knows them; then, for a page among many, why others are not there is left out. Raises UnknownTrial.
    """
    begun = trial_row(record.rows, trial)
    own = [row for row in with_audits(record.rows) if row.get("trial") == trial]
    facts = explain(own, trial)
    eta = None if record.scheduler is None else record.scheduler.reduction_factor
    why = [] if on_front is not None else _why_not(record, trial)
    epochs = _on_front(record, trial) if on_front is None else on_front
    return jsonable(
        {
            "id": trial,
            "stratum": begun["stratum"],
            "title": short_config(begun["config"]),
            "config": {name: value for name, value in begun["config"].items() if value is not None},
            "origin": facts["origin"],
            "outcome": facts["outcome"],
            "reason": facts["reason"],
            "summary": in_words(own, trial, eta)[-1],
            "verdicts": {str(epoch): said for (_, epoch), said in verdicts_of(own, record.goals).items()},
            "decisions": [{"epoch": one["epoch"], "text": decision_in_words(one)} for one in facts["decisions"]],
            "metrics": _table(own, begun),
            "on_front": list(epochs),
            "why_not": [] if epochs or not facts["decisions"] else why,
            "samples": _epochs(samples),
            "retain_samples": list((samples or {}).get("retain") or ()),
            "audits": _epochs(audits),
            "pull": [pull_command(record, trial, epoch, begun["stratum"]) for epoch in epochs],
            "explain": f"letheon explain {shlex.quote(record.name)} {shlex.quote(trial)}{record.options}",
        }
    )


def _why_not(record: Record, trial: str) -> list[str]:
    return why_not_in_words(why_not(record.rows, trial, record.goals)) if _reported(record, trial) else []


def _reported(record: Record, trial: str) -> bool:
    return any(row["kind"] == "report" and row["trial"] == trial for row in record.rows)


def pull_command(record: Record, trial: str, epoch: int, stratum: str) -> dict[str, Any]:
    """The command that brings a front checkpoint home, to copy."""
    name, to = shlex.quote(record.name), shlex.quote(f"./{record.name}-{trial}-{epoch}")
    command = f"letheon pull {name} --select {shlex.quote(f'{trial}@{epoch}')} --fraction {stratum} --to {to}"
    return {"epoch": epoch, "command": command + record.options}


def _on_front(record: Record, trial: str) -> list[int]:
    strata = front_of(record.rows, goals=record.goals)["strata"].values()
    return sorted(point["epoch"] for one in strata for point in one["points"] if point["trial"] == trial)


def _table(own: Sequence[Row], begun: Row) -> dict[str, Any]:
    """{"epochs": [0, 1, …], "values": {metric: [value at each epoch]}}, metrics in alphabetical order."""
    reports = [row for row in own if row["kind"] == "report"]
    steps = [(0, begun.get("baseline") or {}), *((int(row["epoch"]), row["metrics"]) for row in reports)]
    names = sorted({name for _, metrics in steps for name in metrics} - {"epoch"})
    values = {name: [compact(metrics.get(name)) for _, metrics in steps] for name in names}
    return {"epochs": [epoch for epoch, _ in steps], "values": values}


def _epochs(said: Said | None) -> dict[str, Any]:
    return dict((said or {}).get("epochs") or {})
