"""Whether a sweep that was harmed is the same as one that was not: its rows, its records, and what it left behind."""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.soaked import Soaked, marked  # type: ignore[import-not-found]

MOODS = ("seconds", "per_second", "memory", "restarts")
"""Parts of the names of metrics that tell of the machine, not of the model."""


def story(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def mlflow_differences(uri: str, sweep: Soaked) -> list[str]:
    """One run a trial, and of each metric one value a step, which is the journal's."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(sweep.name)
    runs = client.search_runs([experiment.experiment_id], max_results=10_000)
    names = Counter(run.data.tags.get("letheon.trial_id", "sweep") for run in runs)
    reports: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in sweep.rows:
        if row["kind"] == "report":
            reports.setdefault(row["trial"], {})[row["epoch"]] = row["metrics"]
    wanted = Counter({"sweep": 1, **{row["trial"]: 1 for row in sweep.rows if row["kind"] == "trial"}})
    found = [] if names == wanted else [f"{sweep.name}: runs {names - wanted} too many, {wanted - names} too few"]
    for run in runs:
        trial = run.data.tags.get("letheon.trial_id")
        if run.info.status == "RUNNING":
            found.append(f"{sweep.name}: the run of {trial or 'the sweep'} is RUNNING")
        if trial is None:
            continue
        for name in ("forget_kl", "retain_kl", "loss", "utility_ratio"):
            history = client.get_metric_history(run.info.run_id, name)
            values = sorted((metric.step, metric.value) for metric in history if metric.step > 0)
            expected = sorted((epoch, metrics[name]) for epoch, metrics in reports[trial].items())
            if len(values) != len(expected) or not all(map(_same, values, expected)):
                found.append(f"{sweep.name}: {name} of {trial} is {values}, not {expected}")
    return found


def _same(one: tuple[int, float], other: tuple[int, float]) -> bool:
    return one[0] == other[0] and (math.isclose(one[1], other[1], rel_tol=1e-12) or math.isnan(other[1]))


def leaks(folder: Path, seconds: float = 30) -> list[str]:
    """Processes of the soak that still run, temporary folders of drivers that are gone, half-written epochs."""
    deadline = time.monotonic() + seconds
    while running := list(marked(str(folder))):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    temporary = [path for path in Path(tempfile.gettempdir()).glob("letheon-*-*") if _abandoned(path)]
    partial = list(folder.glob("*/root/sweeps/*/trials/*/.epoch-*.partial"))
    found = [f"still running: {line}" for line in running]
    found += [f"left behind: {path}" for path in temporary]
    return found + [f"half-written: {path}" for path in partial]


def _abandoned(path: Path) -> bool:
    pid = path.name.split("-")[1]
    return pid.isdigit() and not Path("/proc", pid).exists()
