"""Lists the sweeps of a tracking store, from any machine, and reads their rows and texts. Writes nothing.

The store is not trusted: artifacts have a size limit, and content of an unexpected shape is dropped or raises
TrackingError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.analysis.samples import AUDITS, SAMPLES
from letheon.checkpoints.manifest import VerificationError
from letheon.common.paths import SPEC
from letheon.common.redaction import redact
from letheon.journal import Row
from letheon.tracking.reader import sweeps
from letheon.tracking.store import connection, runs
from letheon.tracking.store.artifacts import read
from letheon.tracking.store.errors import SweepNotFoundError
from letheon.tracking.store.runs import Handle

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_MAX_SPEC, _MAX_TEXTS = 2**20, 16 * 2**20  # bytes
_SECONDS = 20


@dataclass(frozen=True)
class SweepRun:
    """A sweep's parent run. `began` and `ended` are in unix seconds; `ended` is None while it runs.

    `started`: the journal's first time in milliseconds, which identifies the sweep together with its name.
    `stamp`: changes whenever the run does.
    """

    run_id: str
    name: str
    study: str
    started: int
    state: str
    detail: str | None
    began: float
    ended: float | None
    stamp: tuple[object, ...]


class Browser:
    """One store, opened on first use. Every method raises TrackingError if the store cannot be reached."""

    def __init__(self, root: Path, uri: str | None = None) -> None:
        self._root, self.uri = root, connection.tracking_uri(root, uri)
        connection.set_http_limits(1, _SECONDS)
        self._given = uri
        self._client: MlflowClient | None = None

    @property
    def where(self) -> str:
        """The store's URL without credentials."""
        return redact(self.uri)

    @property
    def web(self) -> str | None:
        """The address of MLflow's own pages; None if the store is not a server."""
        return self.where.rstrip("/") if self.uri.startswith(("http://", "https://")) else None

    def exists(self) -> bool:
        """False for an embedded store that has not been created yet."""
        file = connection.sqlite_file(self.uri)
        return file is None or file.is_file()

    def sweeps(self) -> list[SweepRun]:
        """Every sweep, newest first."""
        client = self._open()
        with connection.store_errors(self.uri, "listing sweeps"):
            studies = {one.experiment_id: one.name for one in client.search_experiments()}
            found = runs.search(client, list(studies), {"letheon.kind": "sweep"}) if studies else []
        return [_sweep_run(run, studies[run.info.experiment_id]) for run in reversed(found)]

    def rows(self, sweep: SweepRun) -> list[Row]:
        """The sweep's journal rows that are in the store."""
        client = self._open()
        with connection.store_errors(self.uri, f"reading sweep {sweep.name!r}"):
            return sweeps.read_rows(client, Handle.of(client.get_run(sweep.run_id)))

    def spec(self, sweep: SweepRun) -> bytes | None:
        """The resolved sweep file; None if it is missing or too large."""
        return self._artifact(sweep.run_id, SPEC, _MAX_SPEC)

    def trial_texts(self, sweep: SweepRun, trial: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The trial's `samples.json` and `audits.json`; empty if missing or invalid."""
        run = self._trial_run(sweep, trial)
        if run is None:
            return {}, {}
        return self._json(run, SAMPLES), self._json(run, AUDITS)

    def _trial_run(self, sweep: SweepRun, trial: str) -> str | None:
        if any(character in trial for character in "'\"`\\"):
            return None
        client = self._open()
        with connection.store_errors(self.uri, f"looking for trial {trial!r}"):
            experiment = client.get_run(sweep.run_id).info.experiment_id
            wanted = {runs.PARENT_TAG: sweep.run_id, "letheon.trial_id": trial}
            found = runs.search(client, [experiment], wanted)
        return found[0].info.run_id if found else None

    def _json(self, run_id: str, name: str) -> Mapping[str, Any]:
        try:
            content = json.loads(self._artifact(run_id, name, _MAX_TEXTS) or b"{}")
        except (ValueError, RecursionError):
            return {}
        return _expected_parts(content)

    def _artifact(self, run_id: str, name: str, limit: int) -> bytes | None:
        client = self._open()
        try:
            with connection.store_errors(self.uri, f"reading {name}"):
                return read(client, run_id, name, limit)
        except VerificationError:  # too large, or gone since it was listed
            return None

    def _open(self) -> MlflowClient:
        if self._client is None:
            if not self.exists():
                raise SweepNotFoundError(f"{self.where}: no tracking store yet")
            self._client = sweeps.open_store(self._root, self._given)
        return self._client


def _sweep_run(run: Run, study: str) -> SweepRun:
    tags, info = run.data.tags, run.info
    state = tags.get("letheon.state", "unknown")
    started = tags.get("letheon.started", "")
    return SweepRun(
        run_id=info.run_id,
        name=tags.get("letheon.sweep", "?"),
        study=study,
        started=int(started) if started.isdecimal() else info.start_time,
        state=state,
        detail=tags.get("letheon.detail"),
        began=info.start_time / 1000,
        ended=None if info.end_time is None else info.end_time / 1000,
        stamp=(state, info.status, info.end_time, tags.get("letheon.registered"), *sorted(run.data.metrics.items())),
    )


def _expected_parts(content: object) -> Mapping[str, Any]:
    """The parts of `samples.json` or `audits.json` that have the expected shape; the rest is dropped."""
    epochs = content.get("epochs") if isinstance(content, dict) else None
    if not isinstance(epochs, dict):
        return {}
    kept = {key: value for key, value in epochs.items() if key.isdecimal() and isinstance(value, list | dict)}
    retain = content.get("retain") if isinstance(content, dict) else None
    texts = [text for text in retain if isinstance(text, dict)] if isinstance(retain, list) else []
    return {"epochs": kept, "retain": texts}
