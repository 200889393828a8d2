"""The fronts of a sweep from its journal, one per forget fraction. Pure; compares nothing across strata.

A front point is a checkpoint (trial, epoch), never "the last state of a trial".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.common.paths import model_folder
from letheon.journal.journal import Row, jsonable
from letheon.pareto.geometry import ParetoSet, Point, knee
from letheon.pareto.objectives import Axis, Goals
from trainables.evaluation.metrics.catalog import number
from trainables.evaluation.verdict import verdict

NEAREST = 3  # least-violating points that an empty front lists


def front_of(rows: Sequence[Row], sweep: str = "", goals: Goals | None = None) -> dict[str, Any]:
    """The fronts of a sweep from its journal, in the shape of `front --json`.

    Candidates are the reports of epoch >= 1 with finite objectives, utility_ratio >= the goals' floor, no violated
    limit, and more forgotten than by the target model. A checkpoint whose third objective was not measured (a probe
    runs only at rungs) is therefore no candidate. If checkpoints have equal objectives, only the earliest epoch
    appears. `points` are ordered by falling second objective, each with its `verdict`. The `hypervolume` (in the
    metrics' units) is measured from `reference`: the untouched target model and the utility floor. The knee's box goes
    from there to `ideal`; both are values of the metrics. `knee` is one of the points, if possible one that has
    forgotten; null on an empty front, which lists the points closest to feasible as `least_violating`. A point's
    metrics include those of its audit; `retain_audit` has those of the retain model's audit.

    Goals that name audit metrics select from the front that the search found, since nothing else was audited or kept;
    before the first audit that front itself is shown.
    """
    goals = goals or Goals()
    trials = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    reports = reports_by_stratum(rows)
    current = goals_in_force(rows, goals)
    retain = {row["stratum"]: jsonable(row["metrics"]) for row in rows if row["kind"] == "audit" and row["epoch"] == 0}
    found = {key: {**_stratum(reports[key], trials, key, current), "retain_audit": retain.get(key)} for key in reports}
    return {"sweep": sweep, **current.to_json(), "strata": found}


def goals_in_force(rows: Sequence[Row], goals: Goals) -> Goals:
    """The goals of the front now: all of them once there is an audit, before that those that the search can measure."""
    audited = any(row["kind"] == "audit" for row in rows)
    return goals if audited else goals.search_goals


def reports_by_stratum(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Reports of epoch >= 1, with the metrics of their audits, by stratum; smaller forget fractions first."""
    strata = {row["trial"]: row["stratum"] for row in rows if row["kind"] == "trial"}
    reports: dict[str, list[Row]] = {stratum: [] for stratum in sorted(set(strata.values()), key=float)}
    for row in with_audits(rows):
        if row["kind"] == "report" and row["epoch"] >= 1 and row["trial"] in strata:
            reports[strata[row["trial"]]].append(row)
    return reports


def with_audits(rows: Sequence[Row]) -> list[Row]:
    """The rows, with the metrics of each checkpoint's audit added to its report."""
    audits = {(row["trial"], row["epoch"]): row["metrics"] for row in rows if row["kind"] == "audit"}
    if not audits:
        return list(rows)
    merged = []
    for row in rows:
        more = audits.get((row["trial"], row["epoch"])) if row["kind"] == "report" else None
        merged.append(row if more is None else {**row, "metrics": {**row["metrics"], **more}})
    return merged


def _candidates(reports: Sequence[Row], goals: Goals, members: Sequence[Row]) -> Sequence[Row]:
    """All reports; if the goals need audits, only those on the front that the search found."""
    if not goals.needs_audit:
        return reports
    search = goals.search_goals
    return front_rows(reports, search, target_objective(search.x, members))


def front_rows(reports: Sequence[Row], goals: Goals, start: float = -math.inf) -> list[Row]:
    """The front of one stratum's reports, by falling second objective. All of them are candidates.

    `start`: the target model's first objective (`target_objective`); a checkpoint that is no better has not forgotten.
    """
    feasible = sorted((row for row in reports if goals.feasible(row["metrics"])), key=checkpoint_key)
    feasible = [row for row in feasible if goals.x.maximised(row["metrics"]) > start]
    # of equal ones the earliest stays
    unique = {goals.objectives(row["metrics"]): row for row in reversed(feasible)}
    return [unique[point] for point in sorted(ParetoSet(unique), key=lambda point: -point[1])]


def nearest_rows(reports: Sequence[Row], goals: Goals) -> list[Row]:
    """The NEAREST reports of one stratum that are closest to feasible, closest first."""
    measured = (row for row in reports if all(map(math.isfinite, goals.objectives(row["metrics"]))))
    return sorted(measured, key=lambda row: (*_distance(row, goals), *checkpoint_key(row)))[:NEAREST]


def hypervolume_share(stratum: Mapping[str, Any]) -> float | None:
    """The hypervolume of a stratum of `front_of` as a share of its box; None if the box is unknown."""
    reference, ideal, volume = stratum.get("reference"), stratum.get("ideal"), stratum.get("hypervolume")
    if volume is None or not reference or not ideal or None in (*reference, *ideal):
        return None
    box = abs(math.prod(best - worst for best, worst in zip(ideal, reference, strict=True)))
    return float(volume) / box if box else None


def _stratum(reports: Sequence[Row], trials: Mapping[str, Row], stratum: str, goals: Goals) -> dict[str, Any]:
    members = [row for row in trials.values() if row["stratum"] == stratum]
    candidates = _candidates(reports, goals, members)
    front = front_rows(candidates, goals, target_objective(goals.x, members))
    points = [point_of(row, trials[row["trial"]], goals) for row in front]
    objectives = [goals.objectives(row["metrics"]) for row in front]
    reference, ideal = box_of(goals, reports, members)
    known = all(map(math.isfinite, (*reference, *ideal)))
    best = knee_of(points, objectives, (reference, ideal) if known else ())
    nearest = [] if front else nearest_rows(candidates, goals)
    target = target_metric(goals, "model_utility", reports, members)
    result = {
        "points": points,
        "knee": None if best is None else points[best],
        "hypervolume": ParetoSet(objectives).hypervolume(reference) if front else 0.0,
        "reference": [axis.sign * value for axis, value in zip(goals.axes, reference, strict=True)],
        "ideal": [axis.sign * value for axis, value in zip(goals.axes, ideal, strict=True)],
        "utility_floor": goals.floor * target,
        "target_utility": target,
        "least_violating": [point_of(row, trials[row["trial"]], goals) for row in nearest],
    }
    return jsonable(result)


def knee_of(points: Sequence[Mapping[str, Any]], objectives: Sequence[Point], box: Sequence[Point]) -> int | None:
    """Index of the best compromise among the points that have forgotten, or among all if none has; None for no points.

    `objectives`: of each point, maximised; `box`: its worst and its best corner, or empty.
    """
    among = [i for i, point in enumerate(points) if verdict_of(point) == "forgotten"] or list(range(len(points)))
    found = knee([objectives[i] for i in among], *box)
    return None if found is None else among[found]


def name_of(point: Mapping[str, Any]) -> str:
    """TRIAL@EPOCH, from a row or a point of a front."""
    return f"{point['trial']}@{int(point['epoch'])}"


def verdict_of(point: Mapping[str, Any]) -> str:
    """The verdict of a point of `front --json`; `cannot say` for a front that was written without verdicts."""
    return str((point.get("verdict") or {}).get("name", "cannot say"))


def reasons_of(point: Mapping[str, Any]) -> str:
    """The reasons of that verdict; empty without one."""
    return "; ".join((point.get("verdict") or {}).get("reasons", ()))


def box_of(goals: Goals, reports: Sequence[Row], trials: Sequence[Row]) -> tuple[Point, Point]:
    """The worst corner (the untouched target model, or the utility floor) and the best one, both maximised."""

    def ends(axis: Axis) -> tuple[float, float]:
        target = target_metric(goals, axis.metric, reports, trials) if axis.ratio else math.nan
        return axis.ends(target, goals.floor, target_objective(axis, trials))

    worst, best = zip(*map(ends, goals.axes), strict=True)
    return worst, best


def target_objective(axis: Axis, trials: Sequence[Row]) -> float:
    """The untouched target model's objective, maximised; -inf if no trial has it."""
    known = (axis.maximised(trial.get("baseline") or {}) for trial in trials)
    return next((value for value in known if math.isfinite(value)), -math.inf)


def _distance(row: Row, goals: Goals) -> tuple[float, float]:
    return goals.violation(row["metrics"]), -goals.ratio(row["metrics"])


def checkpoint_key(row: Row) -> tuple[int, str]:
    """Identifies a checkpoint; the front shows the smallest of those with equal objectives."""
    return row["epoch"], row["trial"]


def target_metric(goals: Goals, metric: str, reports: Sequence[Row], trials: Sequence[Row]) -> float:
    """The untouched target model's value: from a baseline, else from the ratio in a report; NaN if neither has it."""
    baselines = [(trial.get("baseline") or {}).get(metric) for trial in trials]
    ratios = [(number(row["metrics"], metric), goals.ratio(row["metrics"])) for row in reports]
    known = [float(value) for value in (*baselines, *(v / r for v, r in ratios if r > 0)) if value is not None]
    return next((value for value in known if math.isfinite(value)), math.nan)


def point_of(row: Row, trial: Row, goals: Goals) -> dict[str, Any]:
    """A report as a point of `front --json`. `trial`: the trial row of its trial."""
    found = verdict(row["metrics"], trial.get("baseline") or {}, goals.verdict)
    return {
        "verdict": {"name": found.name, "reasons": list(found.reasons)},
        "trial": row["trial"],
        "epoch": row["epoch"],
        "config": trial["config"],
        "metrics": row["metrics"],
        "checkpoint": model_folder(Path("trials"), row["trial"], row["epoch"]).as_posix(),
    }
