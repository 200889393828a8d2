"""The Markdown that people read in MLflow: descriptions of experiments, sweeps and model versions. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.analysis.answer import answers
from letheon.journal import Row
from letheon.pareto.front import name_of, reasons_of, verdict_of
from letheon.pareto.labels import columns, short_config, short_label
from letheon.pareto.objectives import is_audit
from letheon.tracking.aliases import FORGET_DIGEST
from letheon.tracking.environment import search_tags
from letheon.tracking.run_records import MAX_VALUE, NOTE, shorten

VIEW = "workflowType=machine_learning&viewStateShareKey=letheon"
"""Query of MLflow's page of runs: a table of trials, the best first."""
_SHOWN = ("best/area", "best/log10_forget_quality", "best/utility_ratio", "best/epoch")
_COLUMNS = [*(f"metrics.`{name}`" for name in _SHOWN), "tags.`letheon.outcome`", "tags.`letheon.front`"]
_HEADLINES = ("forget_rouge", "forget_probability", "forget_truth_ratio", "extraction_strength", "retain_rouge")

EXPERIMENT = (
    "Sweeps of one study, recorded by Letheon. A run with `letheon.kind = 'sweep'` is a sweep, the runs below it are "
    "its trials. `best/area` orders trials of **one** forget fraction: values of different fractions do not compare."
    "\n\n"
    "- trials that were pruned: `tags.letheon.outcome = 'pruned'`\n"
    "- trials with a checkpoint on a front: `tags.letheon.front = 'true'`\n"
    "- one fraction and method: `tags.letheon.fraction = '0.05' and tags.letheon.method = 'npo_rt'`\n"
)


def experiment_tags() -> dict[str, str]:
    """The tags that MLflow's pages read: the experiment's description, kind, primary metric, and a view of its runs."""
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


def describe_running(spec: Mapping[str, Any], sweep: str) -> str:
    """The description of a running sweep: what is searched, and where to look."""
    return "\n".join([*_summary(spec), f"Status: `letheon status {sweep}`"])


def describe_registered(
    spec: Mapping[str, Any], sweep: str, front: Mapping[str, Any], versions: Mapping[str, str]
) -> str:
    """The description of a registered sweep: its fronts, and how to pull. `versions`: TRIAL@EPOCH -> model version."""
    parts = [*_summary(spec), ""]
    shown = columns(front)
    names = (*shown.x, *shown.y, *shown.more)
    answer = answers(front)
    for fraction, stratum in front["strata"].items():
        parts += [f"### Front at forget fraction {fraction}", "", f"{answer[fraction]}.", ""]
        if not stratum["points"]:
            parts += ["No checkpoint satisfies the limits.", ""]
            continue
        heads = ["checkpoint", "verdict", "version", *map(short_label, names), "configuration"]
        parts += [_row(heads), _row(["---"] * len(heads))]
        knee = stratum.get("knee") or {}
        for point in stratum["points"]:
            key = name_of(point)
            bold = "**" if (point["trial"], point["epoch"]) == (knee.get("trial"), knee.get("epoch")) else ""
            values = [_number(point["metrics"].get(name)) for name in names]
            cells = [f"{bold}{key}{bold}", verdict_of(point), versions.get(key, "")]
            parts.append(_row([*cells, *values, short_config(point["config"])]))
        parts += ["", f"Bold: the knee. `letheon pull {sweep} --fraction {fraction} --to DIR`", ""]
    return shorten("\n".join(parts), MAX_VALUE)


def _summary(spec: Mapping[str, Any]) -> list[str]:
    """A table of what is searched, and a line about its growth."""
    rows = [f"| {name.removeprefix('letheon.')} | {value} |" for name, value in search_tags(spec).items()]
    table = ["| | |", "|---|---|", *rows, ""] if rows else []
    return [*table, "`hypervolume/FRACTION` grows with `epochs`, the trial-epochs of the whole sweep."]


class VersionDescriptions:
    """Descriptions of the model versions of one sweep, from its journal rows and its front.

    A short form of the model card next to the weights (`trainables.storage.model_card`), within MLflow's limit, plus
    what came after the weights: audits, and how to pull it.
    """

    def __init__(self, sweep: str, front: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._sweep, self._front = sweep, front
        self._targets = {row["trial"]: row.get("baseline") or {} for row in rows if row["kind"] == "trial"}
        infos = [row["info"] for row in reversed(rows) if row["kind"] == "sweep" and row.get("info")]
        self._retain: Mapping[str, Any] = next((info["retain"] for info in infos if "retain" in info), {})
        self._logs: Mapping[str, str] = next((info["retain_log"] for info in infos if "retain_log" in info), {})
        self._data: Mapping[str, Any] = next((info["data"] for info in infos if "data" in info), {})

    def describe(self, point: Mapping[str, Any], fraction: str, benchmark: str, digest: str) -> str:
        """The description of a front point's version. `digest`: SHA-256 of its manifest."""
        trial, epoch = str(point["trial"]), int(point["epoch"])
        reasons, verdict = reasons_of(point), verdict_of(point).capitalize()
        parts = [
            f"**{verdict}: {reasons}**" if reasons else f"**{verdict}**",
            "",
            f"{trial} after epoch {epoch} of sweep {self._sweep}: {short_config(point.get('config', {}))}",
            "",
            self._forget_set(fraction, benchmark),
            "",
            *self._table(point, fraction),
            "",
            *([f"Note: {self._logs[fraction]}.", ""] if fraction in self._logs else []),
            f"Manifest SHA-256 `{digest}`: every file is checked against it by",
            "",
            f"`letheon pull {self._sweep} --select {trial}@{epoch} --fraction {fraction} --to DIR`",
        ]
        return shorten("\n".join(parts), MAX_VALUE)

    def data_tags(self, fraction: str) -> dict[str, str]:
        """The digest of the rows to forget, as a tag; empty if the sweep did not record it."""
        digest = self._data.get(fraction, {}).get("forget", {}).get("digest")
        return {} if digest is None else {FORGET_DIGEST: str(digest)}

    def _forget_set(self, fraction: str, benchmark: str) -> str:
        facts = self._data.get(fraction, {}).get("forget", {})
        rows = f", {facts['rows']} rows" if "rows" in facts else ""
        digest = f", SHA-256 `{facts['digest']}`" if "digest" in facts else ""
        return f"To be forgotten: {float(fraction):.4g} of {benchmark or 'the data'}{rows}{digest}"

    def _table(self, point: Mapping[str, Any], fraction: str) -> list[str]:
        shown, metrics = columns(self._front), point["metrics"]
        audits = sorted(name for name in metrics if is_audit(name))
        names = dict.fromkeys([*shown.x, *shown.y, *shown.more, *_HEADLINES, *audits])
        audit = (self._front["strata"].get(fraction) or {}).get("retain_audit") or {}
        target, retain = self._targets.get(point["trial"], {}), {**self._retain.get(fraction, {}), **audit}
        rows = [
            _row([f"`{name}`", *(_number(model.get(name)) for model in (metrics, target, retain))])
            for name in names
            if name in metrics
        ]
        return [_row(["metric", "this checkpoint", "target model", "retain model"]), _row(["---"] * 4), *rows]


def _number(value: object) -> str:
    """Four significant digits; `-` if missing."""
    return f"{value:.4g}" if isinstance(value, int | float) else "-"


def _row(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
