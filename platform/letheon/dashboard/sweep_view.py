"""A sweep as the plain data that its page is drawn from. Pure: rows in, JSON out, nothing is read or written."""

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
from letheon.dashboard.snapshot import Record
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
_LABELS = {"utility_ratio": "utility, share of the target model's"}


def sweep_view(record: Record) -> dict[str, Any]:
    """All of a sweep's page but its hyper-parameters' importance, which costs more and changes less.

    `trials` as `trial_columns` has them; `strata` as `front --json`, points by trial and epoch only, with an
    `answer` in a sentence; `growth`, `capacity`, `cost` as their modules say; `rules`: rungs and collapse floor;
    `budget`: limits and what is used; `marks`: the colour and the shape of each method; `log_scaled`: hyper-parameters
    that are searched on a log scale.
    """
    rows, goals = record.rows, record.goals
    seeds = 1 if record.spec is None else len(record.spec.seeds)
    front = front_with_means(rows, seeds, record.name, goals)
    trials = trial_columns(rows, goals)
    metrics, said = metric_names(rows, goals), answers(front)
    view = {
        "key": record.key,
        "version": record.version,
        **_head(record, trials),
        "objectives": [_axis(axis.metric, axis.better) for axis in goals.axes],
        "metrics": [
            {"name": name, "label": _LABELS.get(name) or label(name), "short": short_label(name)} for name in metrics
        ],
        "floor": goals.floor,
        "marks": marks_of(str(trial["config"].get("method", "")) for trial in trials),
        "log_scaled": _log_scaled(record),
        "constraints": {one.metric: one.to_json() for one in goals.limits},
        "rules": _rules(record),
        "strata": [{**_stratum(key, one, rows, goals), "answer": said[key]} for key, one in front["strata"].items()],
        "means": _means(front),
        "trials": trials,
        "ranks": [trial["rank"] for trial in trials],
        "growth": growth(rows, goals.search_goals),
        "capacity": capacity_json(best_per_method(rows, limits=goals.verdict), UTILITY_KEPT),
        "cost": cost_of(rows, goals, _max_epochs(record), record.now).to_json(),
        "decisions": _last_decisions(rows),
    }
    return jsonable(view)


def card(record: Record) -> dict[str, Any]:
    """A sweep as a line of the list of sweeps: state, progress, and how far each stratum came."""
    front = front_with_means(record.rows, 1, record.name, record.goals)
    trials = [{"outcome": None, **row} for row in record.rows if row["kind"] == "trial"]
    ends = Counter(row["outcome"] for row in record.rows if row["kind"] == "end")
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
    facts = {**_facts(record), "counts": counts, "done": len(trials), "strata": strata}
    return jsonable(facts)


def _log_scaled(record: Record) -> list[str] | None:
    """Hyper-parameters that the sweep file searches on a log scale; None where the file cannot be read."""
    if record.spec is None:
        return None
    return sorted(name for name, domain in record.spec.search.items() if isinstance(domain, LogUniform))


def _head(record: Record, trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = Counter(trial["outcome"] or "running" for trial in trials)
    return {**_facts(record), "counts": dict(counts), "done": len(trials), "epochs": _epochs(record.rows)}


def _facts(record: Record) -> dict[str, Any]:
    spec = record.spec
    return {
        "key": record.key,
        "name": record.name,
        "study": record.study,
        "place": record.place,
        "state": record.state,
        "detail": record.detail,
        "seconds": round(record.seconds, 1),
        "began": record.rows[0]["time"] if record.rows else None,
        "planned": None if spec is None else trial_count(spec),
        "budget": _budget(record),
        "benchmark": None if spec is None else spec.benchmark.name,
        "model": None if spec is None else spec.model.base,
        "searcher": None if spec is None else spec.searcher.name,
        "scheduler": None if spec is None else spec.scheduler.name,
        "tracking": record.tracking,
        "options": record.options,
        "links": dict(record.links),
    }


def _epochs(rows: Sequence[Row]) -> int:
    return sum(row["kind"] == "report" for row in rows)


def _max_epochs(record: Record) -> int | None:
    return None if record.scheduler is None else record.scheduler.max_epochs


def _budget(record: Record) -> list[dict[str, Any]]:
    """Each limit that the sweep has, and how much of it is used."""
    if record.spec is None:
        return []
    used = spent(SweepHistory(record.rows), record.spec.trial.workers * record.spec.trial.gpus, record.now)
    return [
        {"name": name, "limit": limit, "used": compact(float(getattr(used, name)))}
        for name, limit in record.spec.budget.limits.items()
    ]


def _rules(record: Record) -> dict[str, Any]:
    scheduler = record.scheduler
    if scheduler is None:
        return {"rungs": [], "max_epochs": None, "collapse": None}
    collapse = scheduler.collapse
    return {
        "rungs": list(scheduler.rungs),
        "max_epochs": scheduler.max_epochs,
        "collapse": None if collapse is None else collapse.model_dump(mode="json"),
    }


def _axis(metric: str, better: str) -> dict[str, str]:
    return {"metric": metric, "better": better, "label": label(metric), "short": short_label(metric)}


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
    """Heights back in the metrics' own units."""
    return None if spot is None else [compact(axis.sign * it) for axis, it in zip(goals.axes, spot, strict=True)]


def _point(point: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {name: compact(value) for name, value in point["metrics"].items()}
    return {"trial": point["trial"], "epoch": point["epoch"], "metrics": metrics, "verdict": point.get("verdict")}


def _place(point: Mapping[str, Any] | None) -> list[Any] | None:
    return None if point is None else [point["trial"], point["epoch"]]


def _means(front: Mapping[str, Any]) -> dict[str, Any]:
    """Stratum -> the front of means over seeds, where there are several."""
    strata = (front.get("means") or {}).get("strata") or {}
    names = ("trials", "epoch", "seeds", "metrics", "interval", "config")
    return {key: [{name: point[name] for name in names} for point in one["points"]] for key, one in strata.items()}


def _last_decisions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The newest decisions of a rung or a rule, in words."""
    strata = {row["trial"]: row["stratum"] for row in rows if row["kind"] == "trial"}
    told = [
        row
        for row in rows
        if row["kind"] == "report" and row["trial"] in strata and _says_something(row.get("decision") or {})
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
        for row in told[-LAST_DECISIONS:][::-1]
    ]


def _says_something(decision: Mapping[str, Any]) -> bool:
    return decision.get("rung") is not None or decision.get("action") == "stop"
