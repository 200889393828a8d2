"""The runs of a sweep in MLflow: what is known of each, found by tag, created. Independent of the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Status = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]

PARENT_TAG = "mlflow.parentRunId"
AUDITED = "letheon.audited"  # tag: which audits of a run are recorded
SPENT = "epochs"  # metric of the sweep's run: trial-epochs so far, the step of everything that grows with them
_PAGE = 1000


@dataclass
class Handle:
    """A run, and what the store is known to hold of it.

    `epoch`: the last one written completely, -1 if none; for a sweep's run, its trial-epochs.
    """

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
            status=cast(Status, run.info.status),
            epoch=int(run.data.metrics.get("epoch", run.data.metrics.get(SPENT, -1))),
            params=dict(run.data.params),
            tags=dict(run.data.tags),
            artifact_uri=run.info.artifact_uri or "",
        )

    def set_tag(self, client: MlflowClient, key: str, value: str) -> None:
        """Set the tag unless the store is known to have it."""
        if self.tags.get(key) != value:
            client.set_tag(self.id, key, value)
            self.tags[key] = value


def every_page(search: Callable[..., Any]) -> list[Any]:
    """The results of all pages of one of MLflow's searches."""
    page = search(max_results=_PAGE)
    found = list(page)
    while page.token:
        page = search(max_results=_PAGE, page_token=page.token)
        found += page
    return found


def search(client: MlflowClient, experiment_ids: Sequence[str], tags: Mapping[str, str]) -> list[Run]:
    """All active runs with these tag values, oldest first. Values must hold no quotes: MLflow cannot escape them."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    order = ["attributes.start_time ASC"]
    return every_page(partial(client.search_runs, list(experiment_ids), wanted, order_by=order))


def create(client: MlflowClient, experiment_id: str, name: str, started: int, tags: Mapping[str, str]) -> Handle:
    """Create a run with its identifying tags in one request, so that no run ever lacks them."""
    return Handle.of(client.create_run(experiment_id, start_time=started, tags=dict(tags), run_name=name))
