"""The data of a sweep's page. Pure: rows in, JSON out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.analysis.answer import answers
from letheon.analysis.capacity import UTILITY_KEPT, best_per_method
from letheon.analysis.capacity import to_json as capacity_json
from letheon.analysis.cost import cost_of
from letheon.analysis.explain import decision_in_words
from letheon.analysis.seeds import front_with_means
from letheon.common.numbers import compact
from letheon.dashboard.growth import growth
from letheon.dashboard.snapshot import SweepSnapshot
from letheon.dashboard.trial_columns import metric_names, trial_columns
from letheon.journal import Row, SweepHistory, jsonable
from letheon.journal.usage import spent
from letheon.pareto.front import hypervolume_share
from letheon.pareto.labels import label, short_label
from letheon.pareto.objectives import Goals
from letheon.plots.layout import Plane, Spot, retain_spot
from letheon.plots.marks import marks_of
from letheon.spec.model import LogUniform
from letheon.spec.search_space import trial_count

LAST_DECISIONS = 12
_LABELS = {"utility_ratio": {"label": "utility, share of the target model's"}}


def sweep_view(snapshot: SweepSnapshot) -> dict[str, Any]:
    """Everything on a sweep's page except importance, which is slower and changes less often.

    `trials`: see `trial_columns`. `strata`: as in `front --json`, with points by trial and epoch and an `answer` in one
    sentence. `growth`, `capacity`, `cost`: see their modules. `rules`: rungs and collapse floor. `budget`: limits and
    usage. `marks`: colour and shape per method. `log_scaled`: hyper-parameters searched on a log scale.
    """
    rows, goals, rules = snapshot.rows, snapshot.goals, _rules(snapshot)
    seeds = 1 if snapshot.spec is None else len(snapshot.spec.seeds)
    front = front_with_means(rows, seeds, snapshot.name, goals)
    trials = trial_columns(rows, goals)
    metrics, sentences = metric_names(rows, goals), answers(front)
    view = {
        "key": snapshot.key,
        "version": len(rows),
        **_head(snapshot, trials),
        "objectives": [{"metric": axis.metric, "better": axis.better, **_names(axis.metric)} for axis in goals.axes],
        "metrics": [{"name": name, **_names(name), **_LABELS.get(name, {})} for name in metrics],
        "floor": goals.floor,
        "marks": marks_of(str(trial["config"].get("method", "")) for trial in trials),
        "log_scaled": _log_scaled(snapshot),
        "constraints": {one.metric: one.to_json() for one in goals.limits},
        "rules": rules,
        "strata": [
            {**_stratum(key, one, rows, goals), "answer": sentences[key]} for key, one in front["strata"].items()
        ],
        "means": _means(front),
        "trials": trials,
        "ranks": [trial["rank"] for trial in trials],
        "growth": growth(rows, goals.search_goals),
        "capacity": capacity_json(best_per_method(rows, limits=goals.verdict), UTILITY_KEPT),
        "cost": cost_of(rows, goals, rules["max_epochs"], snapshot.now).to_json(),
        "decisions": _last_decisions(rows),
    }
    return jsonable(view)


def card(snapshot: SweepSnapshot) -> dict[str, Any]:
    """A sweep's entry in the list of sweeps: state, progress, and the front of each stratum."""
    front = front_with_means(snapshot.rows, 1, snapshot.name, snapshot.goals)
    trials = [{"outcome": None, **row} for row in snapshot.rows if row["kind"] == "trial"]
    ends = Counter(row["outcome"] for row in snapshot.rows if row["kind"] == "end")
    running = len(trials) - sum(ends.values())
    strata = [
        {
            "key": key,
            "points": len(one["points"]),
            "share": hypervolume_share(one),
            "knee": _place(one["knee"]),
            "verdict": (one["knee"] or {}).get("verdict"),
        }
        for key, one in front["strata"].items()
    ]
    counts = {**({"running": running} if running else {}), **ends}
    facts = {**_facts(snapshot), "counts": counts, "done": len(trials), "strata": strata}
    return jsonable(facts)


def _log_scaled(snapshot: SweepSnapshot) -> list[str] | None:
    """Hyper-parameters that the sweep file searches on a log scale; None if the file cannot be read."""
    if snapshot.spec is None:
        return None
    return sorted(name for name, domain in snapshot.spec.search.items() if isinstance(domain, LogUniform))


def _head(snapshot: SweepSnapshot, trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = Counter(trial["outcome"] or "running" for trial in trials)
    epochs = sum(row["kind"] == "report" for row in snapshot.rows)
    return {**_facts(snapshot), "counts": dict(counts), "done": len(trials), "epochs": epochs}


def _facts(snapshot: SweepSnapshot) -> dict[str, Any]:
    spec = snapshot.spec
    return {
        "key": snapshot.key,
        "name": snapshot.name,
        "study": snapshot.study,
        "place": snapshot.place,
        "state": snapshot.state,
        "detail": snapshot.detail,
        "seconds": round(snapshot.seconds, 1),
        "began": snapshot.rows[0]["time"] if snapshot.rows else None,
        "planned": None if spec is None else trial_count(spec),
        "budget": _budget(snapshot),
        "benchmark": None if spec is None else spec.benchmark.name,
        "model": None if spec is None else spec.model.base,
        "searcher": None if spec is None else spec.searcher.name,
        "scheduler": None if spec is None else spec.scheduler.name,
        "tracking": snapshot.tracking,
        "options": snapshot.options,
        "links": dict(snapshot.links),
    }


def _budget(snapshot: SweepSnapshot) -> list[dict[str, Any]]:
    """Each limit of the budget and how much of it is used."""
    if snapshot.spec is None:
        return []
    used = spent(SweepHistory(snapshot.rows), snapshot.spec.trial.workers * snapshot.spec.trial.gpus, snapshot.now)
    return [
        {"name": name, "limit": limit, "used": compact(float(getattr(used, name)))}
        for name, limit in snapshot.spec.budget.limits.items()
    ]


def _rules(snapshot: SweepSnapshot) -> dict[str, Any]:
    scheduler = snapshot.scheduler
    if scheduler is None:
        return {"rungs": [], "max_epochs": None, "collapse": None}
    collapse = scheduler.collapse
    return {
        "rungs": list(scheduler.rungs),
        "max_epochs": scheduler.max_epochs,
        "collapse": None if collapse is None else collapse.model_dump(mode="json"),
    }


def _names(metric: str) -> dict[str, str]:
    return {"label": label(metric), "short": short_label(metric)}


def _stratum(key: str, stratum: Mapping[str, Any], rows: Sequence[Row], goals: Goals) -> dict[str, Any]:
    plane = Plane(*goals.axes)
    baseline = next((row.get("baseline") or {} for row in rows if row["kind"] == "trial" and row["stratum"] == key), {})
    target, retain = plane.spot(baseline), retain_spot(key, rows, plane)
    return {
        "key": key,
        "points": [_point(point) for point in stratum["points"]],
        "nearest": [_point(point) for point in stratum["least_violating"]],
        "knee": _place(stratum["knee"]),
        "verdict": (stratum["knee"] or {}).get("verdict"),
        "hypervolume": compact(stratum["hypervolume"]),
        "share": hypervolume_share(stratum),
        "utility_floor": compact(stratum["utility_floor"]),
        "target_utility": compact(stratum["target_utility"]),
        "target": _values(target, goals),
        "retain": _values(retain, goals),
        "retain_audit": stratum.get("retain_audit"),
    }


def _values(spot: Spot | None, goals: Goals) -> list[float] | None:
    """A point of the plane in the metrics' own units."""
    return (
        None if spot is None else [compact(axis.sign * it) for axis, it in zip((goals.x, goals.y), spot, strict=True)]
    )


def _point(point: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {name: compact(value) for name, value in point["metrics"].items()}
    return {"trial": point["trial"], "epoch": point["epoch"], "metrics": metrics, "verdict": point.get("verdict")}


def _place(point: Mapping[str, Any] | None) -> list[Any] | None:
    return None if point is None else [point["trial"], point["epoch"]]


def _means(front: Mapping[str, Any]) -> dict[str, Any]:
    """Stratum -> the front of means over seeds; empty without several seeds."""
    strata = (front.get("means") or {}).get("strata") or {}
    names = ("trials", "epoch", "seeds", "metrics", "interval", "config")
    return {key: [{name: point[name] for name in names} for point in one["points"]] for key, one in strata.items()}


def _last_decisions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The newest decisions made at a rung or to stop a trial, in words, newest first."""
    strata = {row["trial"]: row["stratum"] for row in rows if row["kind"] == "trial"}
    reports = [row for row in rows if row["kind"] == "report" and row["trial"] in strata and row.get("decision")]
    decided = [
        row for row in reports if row["decision"].get("rung") is not None or row["decision"].get("action") == "stop"
    ]
    return [
        {
            "trial": row["trial"],
            "stratum": strata[row["trial"]],
            "epoch": row["epoch"],
            "time": row["time"],
            "action": row["decision"]["action"],
            "text": decision_in_words(row["decision"]),
        }
        for row in decided[-LAST_DECISIONS:][::-1]
    ]
