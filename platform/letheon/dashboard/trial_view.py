"""The data of a trial's page. Pure: rows and generations in, JSON out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.analysis.explain import decision_in_words, explain, in_words
from letheon.analysis.why_not import why_not
from letheon.analysis.why_not_text import in_words as why_not_in_words
from letheon.common.numbers import compact
from letheon.dashboard.snapshot import SweepSnapshot
from letheon.dashboard.trial_columns import verdicts_of
from letheon.journal import Row, jsonable
from letheon.journal.journal import trial_row
from letheon.pareto.front import front_of, with_audits
from letheon.pareto.labels import short_config

Texts = Mapping[str, Any] | None


def trial_view(
    snapshot: SweepSnapshot,
    trial: str,
    samples: Texts = None,
    audits: Texts = None,
    on_front: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Configuration, every metric by epoch, decisions in words, generations, and how to download checkpoints.

    `samples`, `audits`: in the shapes of `letheon.analysis.samples`. `on_front`: the trial's epochs on the front, if
    the caller has them; then `why_not` is left out, to save time for a page among many. Raises UnknownTrial.
    """
    begun = trial_row(snapshot.rows, trial)
    own = [row for row in with_audits(snapshot.rows) if row.get("trial") == trial]
    facts = explain(own, trial)
    eta = None if snapshot.scheduler is None else snapshot.scheduler.reduction_factor
    why = [] if on_front is not None else _why_not(snapshot, trial)
    epochs = _on_front(snapshot, trial) if on_front is None else on_front
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
            "verdicts": {str(epoch): judged for (_, epoch), judged in verdicts_of(own, snapshot.goals).items()},
            "decisions": [{"epoch": one["epoch"], "text": decision_in_words(one)} for one in facts["decisions"]],
            "metrics": _table(own, begun),
            "on_front": list(epochs),
            "why_not": [] if epochs or not facts["decisions"] else why,
            "samples": _epochs(samples),
            "retain_samples": list((samples or {}).get("retain") or ()),
            "audits": _epochs(audits),
            "pull": [pull_command(snapshot, trial, epoch, begun["stratum"]) for epoch in epochs],
            "explain": f"letheon explain {shlex.quote(snapshot.name)} {shlex.quote(trial)}{snapshot.options}",
        }
    )


def _why_not(snapshot: SweepSnapshot, trial: str) -> list[str]:
    reported = any(row["kind"] == "report" and row["trial"] == trial for row in snapshot.rows)
    return why_not_in_words(why_not(snapshot.rows, trial, snapshot.goals)) if reported else []


def pull_command(snapshot: SweepSnapshot, trial: str, epoch: int, stratum: str) -> dict[str, Any]:
    """The command that downloads a front checkpoint."""
    name, to = shlex.quote(snapshot.name), shlex.quote(f"./{snapshot.name}-{trial}-{epoch}")
    command = f"letheon pull {name} --select {shlex.quote(f'{trial}@{epoch}')} --fraction {stratum} --to {to}"
    return {"epoch": epoch, "command": command + snapshot.options}


def _on_front(snapshot: SweepSnapshot, trial: str) -> list[int]:
    strata = front_of(snapshot.rows, goals=snapshot.goals)["strata"].values()
    return sorted(point["epoch"] for one in strata for point in one["points"] if point["trial"] == trial)


def _table(own: Sequence[Row], begun: Row) -> dict[str, Any]:
    """{"epochs": [0, 1, …], "values": {metric: [value per epoch]}}, metrics in alphabetical order."""
    reports = [row for row in own if row["kind"] == "report"]
    steps = [(0, begun.get("baseline") or {}), *((int(row["epoch"]), row["metrics"]) for row in reports)]
    names = sorted({name for _, metrics in steps for name in metrics} - {"epoch"})
    values = {name: [compact(metrics.get(name)) for _, metrics in steps] for name in names}
    return {"epochs": [epoch for epoch, _ in steps], "values": values}


def _epochs(texts: Texts) -> dict[str, Any]:
    return dict((texts or {}).get("epochs") or {})
