"""Logs a sweep's data sets as MLflow inputs of its run: name, digest, context. Logging them again adds nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from letheon.common.redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

    from letheon.tracking.store.runs import Handle

INPUTS_TAG = "letheon.inputs"  # digest of what was logged
_MAX_DIGEST = 36  # characters, MLflow's limit; the profile has the whole digest


def log_inputs(client: MlflowClient, run: Handle, data: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """`data`: stratum -> forget, retain, holdout -> {"digest", "rows"}. `spec`: the sweep's; it names the benchmark.

    The store keeps one data set per (name, digest) and links it to the run once, so a repetition adds no input.
    """
    benchmark = {name: value for name, value in (spec.get("benchmark") or {}).items() if value is not None}
    state = hashlib.sha256(json.dumps([data, benchmark], sort_keys=True, default=str).encode()).hexdigest()[:16]
    if data and run.tags.get(INPUTS_TAG) != state:
        client.log_inputs(run.id, datasets=list(_inputs(data, benchmark)))
        run.set_tag(client, INPUTS_TAG, state)


def _inputs(data: Mapping[str, Any], benchmark: Mapping[str, Any]) -> Iterator[DatasetInput]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    for stratum, sets in data.items():
        for role, facts in sets.items():
            digest, rows = str(facts["digest"]), facts.get("rows")
            source = {"benchmark": benchmark, "forget_fraction": float(stratum), "set": role}
            profile = {"sha256": digest, **({} if rows is None else {"num_rows": int(rows)})}
            dataset = Dataset(
                name=f"{benchmark.get('name', 'data')} {role} {stratum}",
                digest=digest[:_MAX_DIGEST],
                source_type="letheon",
                source=redact(json.dumps(source, default=str)),
                profile=json.dumps(profile),
            )
            yield DatasetInput(dataset, [InputTag("mlflow.data.context", role)])
