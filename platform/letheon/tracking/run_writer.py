"""Writes the changes of a run to MLflow in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from letheon.tracking.run_records import Point, Record
from letheon.tracking.store.runs import AUDITED, Handle

if TYPE_CHECKING:
    from mlflow import MlflowClient

_METRICS_PER_BATCH = 800  # with 100 parameters and 100 tags: MLflow's limit of 1,000 entities per request
_PAIRS_PER_BATCH = 100
T = TypeVar("T")


def write(client: MlflowClient, run: Handle, record: Record, measured: Sequence[Point] = ()) -> None:
    """Write what the run lacks of the record: new points, parameters and tags, then the status. Clears the record.

    `measured`: system metrics, whose steps are not epochs.
    """
    epochs = [point for point in record.points if point.step > run.epoch]
    audited = run.tags.get(AUDITED, "").split(",")
    audits = [point for name, points in record.audits.items() if name not in audited for point in points]
    once = [point for tag, points in record.once.items() if tag not in run.tags for point in points]
    params = {key: value for key, value in record.params.items() if key not in run.params}
    tags = {key: value for key, value in record.tags.items() if run.tags.get(key) != value}
    _log(client, run.id, [*measured, *epochs, *once, *audits], params, tags)
    if record.status != run.status:
        if record.status == "RUNNING":
            client.update_run(run.id, status="RUNNING")
        else:
            client.set_terminated(run.id, status=record.status, end_time=record.ended)
    run.epoch = max([run.epoch, *(point.step for point in epochs)])
    run.params.update(params)
    run.tags.update(tags)
    run.status = record.status
    record.points, record.params, record.audits, record.once = [], {}, {}, {}


def log_points(client: MlflowClient, run: Handle, points: Sequence[Point]) -> None:
    """Write points that are not of the journal."""
    _log(client, run.id, points, {}, {})


def _log(
    client: MlflowClient, run_id: str, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    metrics = _chunks([Metric(p.key, p.value, p.time, p.step) for p in points], _METRICS_PER_BATCH)
    parameters = _chunks([Param(key, value) for key, value in params.items()], _PAIRS_PER_BATCH)
    run_tags = _chunks([RunTag(key, value) for key, value in tags.items()], _PAIRS_PER_BATCH)
    while True:
        batch = next(metrics, []), next(parameters, []), next(run_tags, [])
        if not any(batch):
            return
        client.log_batch(run_id, metrics=batch[0], params=batch[1], tags=batch[2])


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))
