"""What people read in MLflow about a sweep: the description of its run and of its experiment, in Markdown. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from letheon.analysis.answer import answers
from letheon.pareto.front import verdict_of
from letheon.pareto.labels import columns, short_config, short_label
from letheon.tracking.environment import labels
from letheon.tracking.run_records import MAX_VALUE, NOTE, shorten

VIEW = "workflowType=machine_learning&viewStateShareKey=letheon"
"""Query of MLflow's page of runs: as a table of trials, the best first."""
_SHOWN = ("best/area", "best/log10_forget_quality", "best/utility_ratio", "best/epoch")
_COLUMNS = [*(f"metrics.`{name}`" for name in _SHOWN), "tags.`letheon.outcome`", "tags.`letheon.front`"]

EXPERIMENT = (
    "Sweeps of one study, found by Letheon. A run with `letheon.kind = 'sweep'` is a sweep, the runs below it are its "
    "trials. `best/area` orders trials of **one** forget fraction: fractions cannot be compared by value.\n\n"
    "- trials that were pruned: `tags.letheon.outcome = 'pruned'`\n"
    "- trials with a checkpoint on a front: `tags.letheon.front = 'true'`\n"
    "- one fraction and method: `tags.letheon.fraction = '0.05' and tags.letheon.method = 'npo_rt'`\n"
)


def experiment_tags() -> dict[str, str]:
    """What MLflow's pages read of an experiment: its description, its kind, its first metric, and a view of runs."""
    view = {
        "searchFilter": "",
        "orderByKey": "metrics.`best/area`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": _COLUMNS,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
    }
    return {
        NOTE: EXPERIMENT,
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "best/area",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
        "mlflow.sharedViewState.letheon": json.dumps(view),
    }


def opening(spec: Mapping[str, Any], sweep: str) -> str:
    """Of a sweep that runs: what is searched, and what to look at."""
    said = {name.removeprefix("letheon."): value for name, value in labels(spec).items()}
    lines = [f"| {name} | {value} |" for name, value in said.items()]
    table = ["| | |", "|---|---|", *lines, ""] if lines else []
    return "\n".join(
        [
            *table,
            "`hypervolume/FRACTION` grows with `epochs`, the trial-epochs of the whole sweep.",
            f"Status: `letheon status {sweep}`",
        ]
    )


def closing(spec: Mapping[str, Any], sweep: str, front: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Of a sweep that is registered: its fronts, and how to pull a checkpoint. `versions`: TRIAL@EPOCH -> number."""
    parts = [opening(spec, sweep).rsplit("\n", 1)[0], ""]
    shown = columns(front)
    names = (*shown.x, *shown.y, *shown.more)
    said = answers(front)
    for fraction, stratum in front["strata"].items():
        parts += [f"### Front at forget fraction {fraction}", "", f"{said[fraction]}.", ""]
        if not stratum["points"]:
            parts += ["No checkpoint keeps to the limits.", ""]
            continue
        heads = ["checkpoint", "verdict", "version", *map(short_label, names), "configuration"]
        parts += [line(heads), line(["---"] * len(heads))]
        knee = stratum.get("knee") or {}
        for point in stratum["points"]:
            key = f"{point['trial']}@{point['epoch']}"
            bold = "**" if (point["trial"], point["epoch"]) == (knee.get("trial"), knee.get("epoch")) else ""
            values = [number(point["metrics"].get(name)) for name in names]
            cells = [f"{bold}{key}{bold}", verdict_of(point), versions.get(key, "")]
            parts.append(line([*cells, *values, short_config(point["config"])]))
        parts += ["", f"Bold: the knee. `letheon pull {sweep} --fraction {fraction} --to DIR`", ""]
    return shorten("\n".join(parts), MAX_VALUE)


def number(value: object) -> str:
    """Four significant digits; `-` for what is missing."""
    return f"{value:.4g}" if isinstance(value, int | float) else "-"


def line(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
