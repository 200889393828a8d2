"""Why a trial continued or was stopped, from the journal: as JSON (`explain --json`) and as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letheon.common.numbers import three_digits
from letheon.journal.journal import Row, trial_row

FIELDS = ("epoch", "rung", "rank", "of", "front", "violation", "action", "outcome", "reason")
_VERBS = {"continue": "continued", "stop": "stopped"}
_ENDS = {
    "completed": "completed at epoch",
    "pruned": "was pruned at epoch",
    "collapsed": "collapsed at epoch",
    "failed": "failed after epoch",
    "stopped": "was stopped by the sweep's budget at epoch",
}


def explain(rows: Sequence[Row], trial: str) -> dict[str, Any]:
    """The shape of `explain --json`: {"trial", "stratum", "origin", "outcome", "reason", "decisions": [...],
    "fast_paths_off": [...]}.

    Decisions are in order of epochs. `origin`: who chose the configuration, null if not recorded. `outcome` and
    `reason`: null while the trial runs. `fast_paths_off`: each path that was switched off, with its reason, as of the
    last report. Raises UnknownTrial.
    """
    row = trial_row(rows, trial)
    end = _end(rows, trial)
    reports = sorted(
        (row for row in rows if row["kind"] == "report" and row["trial"] == trial), key=lambda r: r["epoch"]
    )
    return {
        "trial": trial,
        "stratum": row["stratum"],
        "origin": row.get("origin"),
        "outcome": None if end is None else end["outcome"],
        "reason": None if end is None else end["reason"],
        "decisions": [{name: row["decision"].get(name) for name in FIELDS} for row in reports],
        "fast_paths_off": _switched_off(reports),
    }


def in_words(rows: Sequence[Row], trial: str, reduction_factor: float | None = None) -> list[str]:
    """The same as lines of text: the configuration, the decision on each report, and one sentence on how it ended.

    `reduction_factor`: the scheduler's; with it the sentence says which rank a pruned trial needed. Raises
    UnknownTrial.
    """
    config = ", ".join(f"{name} {three_digits(value)}" for name, value in trial_row(rows, trial)["config"].items())
    facts = explain(rows, trial)
    lines = [f"{trial}: {config}"]
    lines += [f"chosen by: {facts['origin']}"] if facts["origin"] else []
    lines += [f"epoch {decision['epoch']}: {decision_in_words(decision)}" for decision in facts["decisions"]]
    lines += [f"slower than usual, {path}" for path in facts["fast_paths_off"]]
    return [*lines, _ending(facts["decisions"], trial, _end(rows, trial), reduction_factor)]


def how_it_ended(end: Row) -> str:
    """`was pruned at epoch 3`."""
    if not end["epoch"]:
        return "failed before its first report"
    return f"{_ENDS[end['outcome']]} {end['epoch']}"


def decision_in_words(decision: Mapping[str, Any]) -> str:
    """`continued: no rung at epoch 1`, `completed: reached max_epochs 6`."""
    ended = decision["action"] == "stop" and decision.get("outcome") == "completed"
    return f"{'completed' if ended else _VERBS[decision['action']]}: {decision['reason']}"


def _switched_off(reports: Sequence[Row]) -> list[str]:
    """`lean layers: off: values differ by …`"""
    states = str((reports[-1].get("fast_paths") if reports else None) or "").split("; ")
    return [state for state in states if ": off: " in state]


def _end(rows: Sequence[Row], trial: str) -> Row | None:
    return next((row for row in rows if row["kind"] == "end" and row["trial"] == trial), None)


def _ending(decisions: Sequence[Mapping[str, Any]], trial: str, end: Row | None, eta: float | None) -> str:
    """Why the trial ended, or where it is now."""
    ranked = [decision for decision in decisions if decision["rung"] is not None]
    at_rung = ranked[-1] if ranked else None
    if end is None:
        return _so_far(decisions, trial, at_rung)
    how, reason = f"{trial} {how_it_ended(end)}", end["reason"]
    last = "" if at_rung is None else f"; {_standing(at_rung)}"
    if end["outcome"] == "pruned" and at_rung is not None:
        # inside a front the spread decides the rank, which a reader would not expect
        undominated = ", though nothing there dominated it" if at_rung["front"] == 0 else ""
        return f"{how}: {_standing(at_rung)}{undominated}{_needed(at_rung, eta)}"
    if end["outcome"] == "completed":
        return f"{how}, the last one: no rung stopped it{last}"
    if end["outcome"] == "stopped":
        return f"{how}, not for its results: {reason}{last}"
    if end["outcome"] == "failed":
        return f"{how}, not for its rank: {reason}{last}"
    return f"{how}, regardless of its rank: {reason}{last}"


def _so_far(decisions: Sequence[Mapping[str, Any]], trial: str, at_rung: Mapping[str, Any] | None) -> str:
    if not decisions:
        return "no report yet: the trial is in its first epoch or waiting to run"
    standing = "it has reached no rung yet" if at_rung is None else _standing(at_rung)
    return f"{trial} is still running after epoch {decisions[-1]['epoch']}: {standing}"


def _standing(decision: Mapping[str, Any]) -> str:
    """`at rung 3 it was rank 3 of 4, with 2 better`."""
    rank = decision["rank"]
    return f"at rung {decision['rung']} it was rank {rank} of {decision['of']}, with {rank - 1 or 'none'} better"


def _needed(decision: Mapping[str, Any], eta: float | None) -> str:
    if eta is None:
        return ""
    # the rung's rule: a trial with fewer than of / eta better ones continues
    of = decision["of"]
    best = max(rank for rank in range(1, of + 1) if (rank - 1) * eta < of)
    return f"; to continue it needed rank {best}{' or better' if best > 1 else ''} of {of}"
