"""Writes the changes of a run to MLflow in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from letheon.tracking.run_records import Point, Record
from letheon.tracking.store.runs import AUDITED, Handle

if TYPE_CHECKING:
    from mlflow import MlflowClient


_METRICS_A_BATCH = 800  # with 100 parameters and 100 tags this is MLflow's limit of 1,000 entities a request


_PAIRS_A_BATCH = 100


T = TypeVar("T")


def write(client: MlflowClient, run: Handle, record: Record, measured: Sequence[Point] = ()) -> None:
    """Bring the run up to the record: new points in one batch where they fit, then the status. Clears the pending.

    `measured`: points with steps of their own.
    """
    epochs = [point for point in record.points if point.step > run.epoch]
    there = run.tags.get(AUDITED, "").split(",")
    audits = [point for name, points in record.audits.items() if name not in there for point in points]
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


def _log(
    client: MlflowClient, run_id: str, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    metrics = chunks([Metric(p.key, p.value, p.time, p.step) for p in points], _METRICS_A_BATCH)
    parameters = chunks([Param(key, value) for key, value in params.items()], _PAIRS_A_BATCH)
    run_tags = chunks([RunTag(key, value) for key, value in tags.items()], _PAIRS_A_BATCH)
    while True:
        batch = next(metrics, []), next(parameters, []), next(run_tags, [])
        if not any(batch):
            return
        client.log_batch(run_id, metrics=batch[0], params=batch[1], tags=batch[2])


def chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Consecutive pieces of at most `size`."""
    return (list(items[start : start + size]) for start in range(0, len(items), size))
