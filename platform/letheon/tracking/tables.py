"""The sweep's front, decisions and pictures as artifacts of the parent run. Written whole each time, so never twice."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.shown import columns
from letheon.tracking.book import milliseconds
from letheon.tracking.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

FRONT = "front.json"
_TABLES = ("decisions.json", "front_table.json")
_DECISION = ("action", "rung", "rank", "of", "front", "violation", "reason")


def log_tables(
    client: MlflowClient,
    run_id: str,
    front: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    files: Mapping[str, bytes | str],
) -> None:
    """`front.json` (what `pull` reads), two tables for MLflow's UI, `files`, and the front's numbers as metrics."""
    contents = {
        **files,
        _TABLES[0]: dump(decisions_table(rows)),
        _TABLES[1]: dump(front_table(front)),
        FRONT: dump(front),
    }
    with tempfile.TemporaryDirectory(prefix="letheon-records-") as temporary:
        for name, content in contents.items():
            path = Path(temporary) / name
            path.write_bytes(content if isinstance(content, bytes) else redact(content).encode())
            client.log_artifact(run_id, str(path))
    shown = json.dumps([{"path": name, "type": "table"} for name in _TABLES])
    client.set_tag(run_id, "mlflow.loggedArtifacts", shown)  # without it MLflow's UI shows the tables as text
    _log_numbers(client, run_id, front, milliseconds(rows[-1]["time"]))


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


def _log_numbers(client: MlflowClient, run_id: str, front: Mapping[str, Any], time: int) -> None:
    from mlflow.entities import Metric

    present = client.get_run(run_id).data.metrics
    numbers: dict[str, float] = {}
    for key, stratum in front["strata"].items():
        numbers[f"front_points/{key}"] = float(len(stratum["points"]))
        if stratum.get("hypervolume") is not None:
            numbers[f"hypervolume/{key}"] = float(stratum["hypervolume"])
    new = [Metric(key, value, time, 0) for key, value in numbers.items() if present.get(key) != value]
    if new:
        client.log_batch(run_id, metrics=new)


def dump(value: object) -> str:
    """Strict JSON for an artifact; numbers that are not finite are null."""
    return json.dumps(_plain(value), indent=1, allow_nan=False)


def _plain(value: object) -> object:
    """The value with NaN and infinities as null, which is all that JSON can say of them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
