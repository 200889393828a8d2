"""Front points as MLflow's logged models: the metrics, parameters and card of a checkpoint, beside its version.

The weights stay among the artifacts of the trial's run, where `pull` reads them; a logged model says what they are, so
that MLflow's own pages can list, sort and compare checkpoints. Found by its tags before it is made. Knows no registry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import checkpoint_folder
from letheon.records import Row
from letheon.tracking.book import NOTE, finite_points, flatten
from trainables.model_card import CARD

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

    from letheon.tracking.registry import RegisteredPoint, Registration
    from letheon.tracking.runs import Handle

KIND = "unlearned"
_VERSIONS = "mlflow.modelVersions"  # what MLflow's pages link a model to its versions by
_REFUSED = "/:.%\"'"  # characters that the name of a logged model may not have
_PAGE = 100


def log_models(
    client: MlflowClient,
    experiment: str,
    parent: Handle,
    children: Mapping[str, Handle],
    registration: Registration,
    rows: Sequence[Row],
    trials: Path,
) -> None:
    """Make what is missing and complete what is not; what is whole is not touched."""
    existing = {_identity(model): model for model in _existing(client, experiment, parent)}
    configs = {row["trial"]: row["config"] for row in rows if row["kind"] == "trial"}
    for point in registration.points:
        run = children[point.trial]
        model = existing.get((run.id, point.digest))
        if model is None:
            name = f"{parent.tags.get('letheon.sweep', 'sweep')}-{point.trial}-epoch-{point.epoch}"
            model = client.create_logged_model(
                experiment,
                name.translate(str.maketrans(_REFUSED, "-" * len(_REFUSED))),
                source_run_id=run.id,
                tags=dict(_tags(point, registration)),
                params=flatten(configs.get(point.trial, {})),
                model_type=KIND,
            )
        _complete(client, run, model, point, registration, rows, checkpoint_folder(trials, point.trial, point.epoch))


def _existing(client: MlflowClient, experiment: str, parent: Handle) -> Iterator[LoggedModel]:
    """Those of this sweep, the newest first, so that of two of a checkpoint the older one is kept."""
    wanted, token = f"tags.`letheon.sweep_run` = '{parent.id}'", None
    while True:
        page = client.search_logged_models([experiment], wanted, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _identity(model: LoggedModel) -> tuple[str, str]:
    return model.source_run_id or "", model.tags.get("letheon.manifest", "")


def _tags(point: RegisteredPoint, registration: Registration) -> Mapping[str, str]:
    return {
        **point.tags,
        NOTE: point.text,
        _VERSIONS: json.dumps([{"name": registration.model, "version": point.version}]),
    }


def _complete(
    client: MlflowClient,
    run: Handle,
    model: LoggedModel,
    point: RegisteredPoint,
    registration: Registration,
    rows: Sequence[Row],
    folder: Path,
) -> None:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

    there = {(metric.key, metric.step) for metric in model.metrics or ()}
    wanted = [each for row in rows if _is_of(row, point) for each in finite_points(row)]
    missing = [each for each in wanted if (each.key, each.step) not in there]
    if missing:  # the run has these very points, which the store keeps once
        client.log_batch(run.id, [Metric(p.key, p.value, p.time, p.step, model_id=model.model_id) for p in missing])
    tags = {key: value for key, value in _tags(point, registration).items() if model.tags.get(key) != value}
    if tags:
        client.set_logged_model_tags(model.model_id, tags)
    if model.status == LoggedModelStatus.READY:
        return
    outputs = client.get_run(run.id).outputs
    if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else ())]:
        client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=point.epoch)])
    if (folder / "model" / CARD).is_file():
        client.log_model_artifact(model.model_id, str(folder / "model" / CARD))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _is_of(row: Mapping[str, Any], point: RegisteredPoint) -> bool:
    return row["kind"] in ("report", "audit") and (row["trial"], row["epoch"]) == (point.trial, point.epoch)
