"""Compares a sweep under faults with an undisturbed one: its rows, its front and its records in MLflow."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.soaked import Soaked  # type: ignore[import-not-found]  # next to this file

from letheon.pareto.front import front_of
from letheon.spec.load import load_spec
from letheon.spec.rules_objectives import goals_of

MOODS = ("seconds", "per_second", "memory", "restarts")
"""Parts of the names of metrics that depend on the machine, not on the model."""
Story = list[dict[str, Any]]


def story(rows: Sequence[Mapping[str, Any]]) -> Story:
    """Trials, reports with their decisions, and ends, in order, without what may differ from run to run."""
    kept = []
    for row in rows:
        if row["kind"] in ("trial", "report", "end"):
            content = {name: value for name, value in row.items() if name not in ("seq", "time")}
            if "metrics" in content:
                content["metrics"] = steady(content["metrics"])
            kept.append(content)
    return kept


def steady(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not any(mood in name for mood in MOODS)}


def front(sweep: Soaked) -> dict[str, Any]:
    """The front as Letheon computes it from the journal: points, knee, hypervolume and its corners, by stratum."""
    return essence(front_of(sweep.rows, sweep.name, goals_of(load_spec(sweep.space))))


def essence(found: Mapping[str, Any]) -> dict[str, Any]:
    """A front in the shape of `front --json`, without machine-dependent metrics and checkpoint paths."""

    def point(one: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if one is None else {**one, "metrics": steady(one["metrics"]), "checkpoint": None}

    return {
        key: {
            "points": [point(one) for one in stratum["points"]],
            "knee": point(stratum["knee"]),
            **{name: stratum[name] for name in ("hypervolume", "reference", "ideal")},
        }
        for key, stratum in found["strata"].items()
    }


def mlflow_differences(uri: str, database: Path, sweep: Soaked) -> list[str]:
    """One run per trial and none RUNNING; the journal's value per metric and step; the journal's front.

    Runs and artifacts are asked for over HTTP, the many values are read from the server's own `database`.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(sweep.name)
    if experiment is None:
        return [f"{sweep.name}: MLflow has no record of it"]
    runs = client.search_runs([experiment.experiment_id], max_results=10_000)
    names = Counter(run.data.tags.get("letheon.trial_id", "sweep") for run in runs)
    wanted = Counter({"sweep": 1, **{row["trial"]: 1 for row in sweep.rows if row["kind"] == "trial"}})
    found = [] if names == wanted else [f"{sweep.name}: runs {names - wanted} too many, {wanted - names} too few"]
    reports: dict[str, dict[tuple[str, int], float]] = {}
    for row in sweep.rows:
        if row["kind"] == "report":
            values = {(name, row["epoch"]): value for name, value in row["metrics"].items()}
            reports.setdefault(row["trial"], {}).update(values)
    for run in runs:
        trial = run.data.tags.get("letheon.trial_id")
        if run.info.status == "RUNNING":
            found.append(f"{sweep.name}: the run of {trial or 'the sweep'} is RUNNING")
        if trial is not None:
            differing = _differing(_values(database, run.info.run_id), reports.get(trial, {}))
            found += [f"{sweep.name}: {trial}: {difference}" for difference in differing]
        elif essence(json.loads(Path(client.download_artifacts(run.info.run_id, "front.json")).read_bytes())) != front(
            sweep
        ):
            found.append(f"{sweep.name}: MLflow has a different front")
    return found


def _values(database: Path, run: str) -> list[tuple[str, int, float]]:
    """All rows of each epoch metric."""
    query = "SELECT key, step, CASE WHEN is_nan THEN NULL ELSE value END FROM metrics WHERE run_uuid = ? AND step > 0"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60) as connection:
        rows = connection.execute(query, (run,)).fetchall()
    return [(key, step, math.nan if value is None else value) for key, step, value in rows if "system/" not in key]


def _differing(values: Sequence[tuple[str, int, float]], wanted: Mapping[tuple[str, int], float]) -> list[str]:
    times = Counter((key, step) for key, step, _ in values)
    there = {(key, step): value for key, step, value in values}
    found = [f"{key} of epoch {step} occurs {n} times" for (key, step), n in times.items() if n > 1]
    found += [f"{key} of epoch {step} is missing" for key, step in wanted.keys() - there.keys()]
    return found + [
        f"{key} of epoch {step} is {there[key, step]}, not {value}"
        for (key, step), value in wanted.items()
        if (key, step) in there and not _same(there[key, step], value)
    ]


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-12) or (math.isnan(other) and math.isnan(one))
