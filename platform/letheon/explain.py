"""Why a trial went on or was stopped, from the journal: for machines (`explain --json`) and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letheon.records.journal import Row, trial_row

FIELDS = ("epoch", "rung", "rank", "of", "front", "violation", "action", "reason")
VERBS = {"continue": "went on", "stop": "stopped"}


def explain(rows: Sequence[Row], trial: str) -> dict[str, Any]:
    """The shape of `explain --json`: {"trial", "stratum", "outcome", "reason", "decisions": [...]}, decisions by epoch.

    `outcome` and `reason` are null while the trial runs. Raises UnknownTrial.
    """
    stratum = trial_row(rows, trial)["stratum"]
    end = next((row for row in rows if row["kind"] == "end" and row["trial"] == trial), None)
    reports = sorted(
        (row for row in rows if row["kind"] == "report" and row["trial"] == trial), key=lambda r: r["epoch"]
    )
    return {
        "trial": trial,
        "stratum": stratum,
        "outcome": None if end is None else end["outcome"],
        "reason": None if end is None else end["reason"],
        "decisions": [{name: row["decision"].get(name) for name in FIELDS} for row in reports],
    }


def in_words(rows: Sequence[Row], trial: str) -> list[str]:
    """The same as lines of text: what the trial was, each report's decision, how it ended. Raises UnknownTrial."""
    config = ", ".join(f"{name} {_short(value)}" for name, value in trial_row(rows, trial)["config"].items())
    facts = explain(rows, trial)
    lines = [f"{trial}: {config}"]
    lines += [_sentence(decision) for decision in facts["decisions"]]
    if facts["outcome"] is not None:
        lines.append(f"{facts['outcome']}: {facts['reason']}")
    elif not facts["decisions"]:
        lines.append("no report yet: the trial is in its first epoch or waits to run")
    else:
        lines.append("still running")
    return lines


def _sentence(decision: Mapping[str, Any]) -> str:
    return f"epoch {decision['epoch']}: {VERBS[decision['action']]}; {decision['reason']}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
