"""The trials of a sweep in compact form: configuration, trajectory, outcome, front rank. Pure.

One entry per trial, with metrics as lists over its epochs (0 is the untouched target model), so that a thousand trials
take a few hundred kilobytes. Numbers have five significant digits; non-finite ones are null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letheon.checkpoints.best import BestCheckpoints
from letheon.common.numbers import compact
from letheon.journal import Row
from letheon.pareto.front import target_objective, with_audits
from letheon.pareto.objectives import Goals
from letheon.pareto.sorting import Fronts
from trainables.evaluation.verdict import verdict

HEADLINES = ("forget_rouge", "forget_probability", "forget_truth_ratio", "retain_rouge", "extraction_strength", "loss")
"""Metrics shown as curves in addition to the objectives, if the benchmark has them."""

Column = list[float | None]


def trial_columns(rows: Sequence[Row], goals: Goals) -> list[dict[str, Any]]:
    """One mapping per trial, in order of their start. `seq`: the last row about it.

    `best`: epoch of the best checkpoint by the rule of `letheon.checkpoints.best`, None without a feasible one.
    `verdict`: of that checkpoint, else of the last one.
    """
    rows = with_audits(rows)
    trials = {str(row["trial"]): _new_entry(row) for row in rows if row["kind"] == "trial"}
    names, best = metric_names(rows, goals), BestCheckpoints(goals)
    for row in rows:
        trial = trials.get(str(row.get("trial")))
        if trial is None:
            continue
        trial["seq"] = max(trial["seq"], row["seq"])
        if row["kind"] == "trial":
            _add_epoch(trial, 0, row.get("baseline") or {}, names)
        elif row["kind"] == "report":
            _add_epoch(trial, int(row["epoch"]), row["metrics"], names)
            best.take(row)
            trial["rung"] = (row.get("decision") or {}).get("rung") or trial["rung"]
        elif row["kind"] == "end":
            trial["outcome"], trial["reason"] = row["outcome"], row["reason"]
        trial["seconds"] = round(row["time"] - trial["began"], 1)
    ranks = front_ranks(rows, goals)
    verdicts = verdicts_of(rows, goals)
    for name, trial in trials.items():
        found = best.of(name)
        trial["rank"] = ranks.get(name)
        trial["best"] = None if found is None else int(found[1]["epoch"])
        trial["verdict"] = verdicts.get((name, trial["best"] or trial["epochs"][-1]))
    return list(trials.values())


def verdicts_of(rows: Sequence[Row], goals: Goals) -> dict[tuple[str, int], dict[str, Any]]:
    """(trial, epoch) -> {"name", "reasons"}: the checkpoint's verdict on forgetting."""
    targets = {row["trial"]: row.get("baseline") or {} for row in rows if row["kind"] == "trial"}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == "report" and row["trial"] in targets:
            judged = verdict(row["metrics"], targets[row["trial"]], goals.verdict)
            found[row["trial"], int(row["epoch"])] = {"name": judged.name, "reasons": list(judged.reasons)}
    return found


def metric_names(rows: Sequence[Row], goals: Goals) -> list[str]:
    """The objectives, the utility's share of the target's, and the headlines that any report has."""
    reported = {name for row in rows if row["kind"] == "report" for name in row["metrics"]}
    always = (*(axis.metric for axis in goals.axes), "utility_ratio")
    return list(dict.fromkeys([*always, *(name for name in HEADLINES if name in reported)]))


def front_ranks(rows: Sequence[Row], goals: Goals) -> dict[str, int]:
    """Trial -> the best non-dominated front (0, 1, …) of its feasible checkpoints, within its stratum.

    Trials without a feasible checkpoint that forgot more than the target model are left out. Non-dominated sorting: Deb
    et al. 2002.
    """
    strata = {row["trial"]: row["stratum"] for row in rows if row["kind"] == "trial"}
    members: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == "trial":
            members.setdefault(row["stratum"], []).append(row)
    starts = {stratum: target_objective(goals.x, found) for stratum, found in members.items()}
    points = [
        (str(row["trial"]), goals.objectives(row["metrics"]))
        for row in rows
        if row["kind"] == "report"
        and row["trial"] in strata
        and goals.feasible(row["metrics"])
        and goals.x.maximised(row["metrics"]) > starts[strata[row["trial"]]]
    ]
    fronts = {stratum: Fronts() for stratum in strata.values()}
    # In descending order no point pushes an earlier one to a later front.
    for trial, heights in sorted(points, key=lambda point: point[1], reverse=True):
        fronts[strata[trial]].add(heights)
    ranks: dict[str, int] = {}
    for trial, heights in points:
        found = fronts[strata[trial]].front_of(heights)
        ranks[trial] = min(found, ranks.get(trial, found))
    return ranks


def _new_entry(row: Row) -> dict[str, Any]:
    own = {name: compact(value) for name, value in row["config"].items() if value is not None}
    return {
        "id": str(row["trial"]),
        "stratum": str(row["stratum"]),
        "config": own,
        "origin": row.get("origin"),
        "outcome": None,
        "reason": None,
        "rung": None,
        "epochs": [],
        "metrics": {},
        "seq": row["seq"],
        "began": row["time"],
        "seconds": 0.0,
    }


def _add_epoch(trial: dict[str, Any], epoch: int, metrics: Mapping[str, Any], names: Sequence[str]) -> None:
    trial["epochs"].append(epoch)
    for name in names:
        trial["metrics"].setdefault(name, []).append(compact(metrics.get(name)))
