"""The runs of one sweep in MLflow: found by tag before they are made, written in batches, only what is missing.

Knows MLflow's client and its limits; does not know the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from letheon.tracking.book import AUDITED, SPENT, Point, Record, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT_TAG = "mlflow.parentRunId"
_METRICS_A_BATCH = 800  # with 100 parameters and 100 tags this is MLflow's limit of 1,000 entities a request
_PAIRS_A_BATCH = 100
_PAGE = 1000

T = TypeVar("T")


@dataclass
class Handle:
    """A run and what the store is known to hold of it. `epoch` is the last one written completely, -1 for none; of a
    sweep's run the trial-epochs."""

    id: str
    status: Status
    epoch: int = -1
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifact_uri: str = ""

    @classmethod
    def of(cls, run: Run) -> Handle:
        return cls(
            id=run.info.run_id,
            status=cast("Status", run.info.status),
            epoch=int(run.data.metrics.get("epoch", run.data.metrics.get(SPENT, -1))),
            params=dict(run.data.params),
            tags=dict(run.data.tags),
            artifact_uri=run.info.artifact_uri or "",
        )


def search(client: MlflowClient, experiment_ids: Sequence[str], tags: Mapping[str, str]) -> list[Run]:
    """All active runs with these tag values, oldest first. No quotes in values: MLflow's filters cannot escape."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiment_ids), wanted, max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        found.extend(page)
        token = page.token
        if not token:
            return found


def create(client: MlflowClient, experiment_id: str, name: str, started: int, tags: Mapping[str, str]) -> Handle:
    """A new run with its identifying tags in the same request, so that no run is ever without them."""
    return Handle.of(client.create_run(experiment_id, start_time=started, tags=dict(tags), run_name=name))


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
