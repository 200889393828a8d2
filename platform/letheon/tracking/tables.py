"""The sweep's front, decisions and pictures as artifacts of the parent run. Written whole each time, so never twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from letheon.common.numbers import milliseconds
from letheon.common.redaction import redact
from letheon.common.scratch import scratch
from letheon.journal.journal import jsonable
from letheon.pareto.labels import columns
from trainables.storage.manifest import sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from letheon.plots.summary import SweepSummary
    from letheon.tracking.store.runs import Handle

FRONT = "front.json"
FRONT_DIGEST = "letheon.front_digest"  # SHA-256 of the artifact: who may write artifacts must not choose what is pulled
ACCOUNTS_TAG = "letheon.accounts"  # the step of the books that were logged last
_TABLES = ("decisions.json", "front_table.json")
_DECISION = ("action", "rung", "rank", "of", "front", "violation", "reason")


def log_tables(
    client: MlflowClient,
    run_id: str,
    front: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    files: Mapping[str, bytes | str],
) -> None:
    """`front.json` (what `pull` reads) and its digest as a tag, two tables for MLflow's UI, and `files`."""
    contents = {
        **files,
        _TABLES[0]: dump(decisions_table(rows)),
        _TABLES[1]: dump(front_table(front)),
        FRONT: dump(front),
    }
    with scratch("records") as temporary:
        for name, content in contents.items():
            path = temporary / name
            path.write_bytes(content if isinstance(content, bytes) else redact(content).encode())
            client.log_artifact(run_id, str(path))
        client.set_tag(run_id, FRONT_DIGEST, sha256(temporary / FRONT))
    shown = json.dumps([{"path": name, "type": "table"} for name in _TABLES])
    client.set_tag(run_id, "mlflow.loggedArtifacts", shown)  # without it MLflow's UI shows the tables as text


def decisions_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every rung and collapse decision in order, as columns and data."""
    data = [
        [row["trial"], row["epoch"], *(row["decision"].get(column) for column in _DECISION)]
        for row in rows
        if row["kind"] == "report" and row.get("decision")
    ]
    return {"columns": ["trial", "epoch", *_DECISION], "data": data}


def front_table(front: Mapping[str, Any]) -> dict[str, Any]:
    """The points of every stratum, one a line, as columns and data."""
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


def log_numbers(client: MlflowClient, run: Handle, books: SweepSummary) -> None:
    """The books' numbers as metrics, once a state of the sweep: the tag that says so comes with them."""
    from mlflow.entities import Metric, RunTag

    state = str(books.step)
    if run.tags.get(ACCOUNTS_TAG) != state:
        time = milliseconds(books.time)
        metrics = [Metric(key, value, time, books.step) for key, value in books.numbers.items()]
        client.log_batch(run.id, metrics=metrics, tags=[RunTag(ACCOUNTS_TAG, state)])
        run.tags[ACCOUNTS_TAG] = state


def dump(value: Mapping[str, Any]) -> str:
    """Strict JSON for an artifact; numbers that are not finite are null."""
    return json.dumps(jsonable(value), indent=1, allow_nan=False)
