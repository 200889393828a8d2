"""Logs the sweep's front, decisions and plots as artifacts of its run; each call replaces them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from letheon.common.numbers import milliseconds
from letheon.common.redaction import redact
from letheon.journal import jsonable
from letheon.pareto.labels import columns
from letheon.tracking.store.artifacts import put

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from letheon.plots.summary import SweepSummary
    from letheon.tracking.store.runs import Handle

FRONT = "front.json"
# SHA-256 of the artifact, so that an account that may only write artifacts cannot choose what is pulled.
FRONT_DIGEST = "letheon.front_digest"
SUMMARY_TAG = "letheon.accounts"  # the step of the summary that was logged last
_TABLES = ("decisions.json", "front_table.json")
_DECISION = ("action", "rung", "rank", "of", "front", "violation", "reason")


def log_tables(
    client: MlflowClient,
    run_id: str,
    front: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    files: Mapping[str, bytes | str],
) -> None:
    """Log `front.json`, which `pull` reads, its digest as a tag, two tables for MLflow's pages, and `files`."""
    content = redact(dump(front)).encode()
    tables = dict(zip(_TABLES, (_decisions_table(rows), _front_table(front)), strict=True))
    for name, file in {**files, **{name: dump(table) for name, table in tables.items()}, FRONT: content}.items():
        put(client, run_id, name, file)
    client.set_tag(run_id, FRONT_DIGEST, hashlib.sha256(content).hexdigest())
    shown = json.dumps([{"path": name, "type": "table"} for name in _TABLES])
    client.set_tag(run_id, "mlflow.loggedArtifacts", shown)  # without it MLflow's pages show the tables as text


def _decisions_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every rung and collapse decision in order."""
    data = [
        [row["trial"], row["epoch"], *(row["decision"].get(column) for column in _DECISION)]
        for row in rows
        if row["kind"] == "report" and row.get("decision")
    ]
    return {"columns": ["trial", "epoch", *_DECISION], "data": data}


def _front_table(front: Mapping[str, Any]) -> dict[str, Any]:
    """The points of every stratum, one per row."""
    shown = columns(front)
    metrics = (*shown.x, *shown.y, *shown.more)
    points = [(key, point) for key, stratum in front["strata"].items() for point in stratum["points"]]
    hyper = sorted({name for _, point in points for name in point.get("config", {})})
    data = [
        [key, point["trial"], point["epoch"], *(point["metrics"].get(name) for name in metrics)]
        + [point.get("config", {}).get(name) for name in hyper]
        + [point.get("checkpoint")]
        for key, point in points
    ]
    return {"columns": ["forget_fraction", "trial", "epoch", *metrics, *hyper, "checkpoint"], "data": data}


def log_numbers(client: MlflowClient, run: Handle, summary: SweepSummary) -> None:
    """Log the summary's numbers as metrics, once per step. A tag in the same request marks them as logged."""
    from mlflow.entities import Metric, RunTag

    state = str(summary.step)
    if run.tags.get(SUMMARY_TAG) != state:
        time = milliseconds(summary.time)
        metrics = [Metric(key, value, time, summary.step) for key, value in summary.numbers.items()]
        client.log_batch(run.id, metrics=metrics, tags=[RunTag(SUMMARY_TAG, state)])
        run.tags[SUMMARY_TAG] = state


def dump(value: Mapping[str, Any]) -> str:
    """Strict JSON for an artifact; non-finite numbers are null."""
    return json.dumps(jsonable(value), indent=1, allow_nan=False)
