"""Mirrors a sweep's journal into MLflow: the sweep is a parent run, each trial a child run.

`sync` may be called at any time with the rows so far, and writes only what the store lacks, so a sweep that was killed
and resumed has every run, metric and version once. The journal is the spool: if the store is down, `sync` raises
TrackingError, nothing is lost, and the next call writes what is missing. Independent of how a sweep is run.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from letheon.analysis.samples import AUDITS, SAMPLES, audits_of, samples_of
from letheon.common.paths import SPEC
from letheon.common.redaction import redact
from letheon.journal import Row
from letheon.tracking import descriptions, environment, run_writer, tables
from letheon.tracking.inputs import log_inputs
from letheon.tracking.registry import Registration, register_front, set_aliases
from letheon.tracking.run_records import NOTE, STATUS_OF_OUTCOME, Record, RunRecords, flatten
from letheon.tracking.store import connection, runs
from letheon.tracking.store.artifacts import check_writable, put
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.store.journal_artifact import JOURNAL, Packer
from letheon.tracking.store.runs import AUDITED, Handle

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from letheon.pareto.objectives import Goals
    from letheon.plots.summary import SweepSummary
    from letheon.tracking.progress_metrics import ProgressMetrics
    from letheon.tracking.system_metrics import SystemMetrics

FRONT_TAG = "letheon.front"  # of a trial: whether a checkpoint of it is on its stratum's front
JOURNAL_TAG = "letheon.journal"  # SHA-256 of the artifact
SAMPLES_TAG = "letheon.samples"
AUDITS_TAG = "letheon.audits"  # the audited epochs in audits.json
_MLFLOW_UI = "http://127.0.0.1:5000"
_CHECK_SECONDS = 5
_SYNC_SECONDS = 15


@dataclass(frozen=True)
class Extras:
    """What is recorded besides the journal.

    `folder`: the sweep's, with the texts that models generated; None records none. `goals`: the objectives of
    hypervolumes. `system`: metrics of the driver's machine. `progress`: of the running trials.
    """

    folder: Path | None = None
    goals: Goals | None = None
    system: SystemMetrics | None = None
    progress: ProgressMetrics | None = None


class Tracker:
    """Writes one sweep to one MLflow store. Not thread-safe."""

    def __init__(
        self,
        root: Path,
        study: str,
        sweep: str,
        spec: Mapping[str, Any],
        uri: str | None = None,
        extras: Extras | None = None,
    ) -> None:
        """`study` names the experiment, `sweep` the parent run; `spec` is the resolved sweep file as plain data.

        Raises TrackingError for a name that MLflow cannot search for.
        """
        extras = extras or Extras()
        for what, name in (("study", study), ("sweep", sweep)):
            if not name or any(character in name for character in "'\"`/:\\\n"):
                raise TrackingError(
                    f"{what} name {name!r}: MLflow cannot search for quotes, /, : or \\; choose another name"
                )
        self.root, self.study, self.sweep, self.spec = root, study, sweep, spec
        self.uri, self._folder = connection.tracking_uri(root, uri), extras.folder
        self._records, self._system, self._progress = RunRecords(extras.goals), extras.system, extras.progress
        self._packer = Packer()
        self._rows: Sequence[Row] = ()
        self._cursor = self._written = 0
        self._client: MlflowClient | None = None
        self._experiment: str | None = None
        self._check_pending = False
        self._parent: Handle | None = None
        self._children: dict[str, Handle] = {}

    @property
    def where(self) -> str:
        """The store's URL without credentials."""
        return redact(self.uri)

    @property
    def page(self) -> str | None:
        """The study on MLflow's pages, the server's or those of a local `mlflow ui`; None before it is opened."""
        if self._experiment is None:
            return None
        server = self.where.rstrip("/") if self.uri.startswith(("http://", "https://")) else _MLFLOW_UI
        return f"{server}/#/experiments/{self._experiment}/runs?{descriptions.VIEW}"

    @property
    def due(self) -> bool:
        """Whether `sync` has something to write even without a new row."""
        return any(one is not None and one.due for one in (self._system, self._progress))

    def check(self) -> None:
        """Connect, and make sure that the experiment and its artifacts can be written. Raises TrackingError.

        A fresh SQLite store is created here, which takes about 4 s once; a closed port fails within a second.
        While other threads run, call it for a database only: for a server it changes the environment.
        """
        connection.set_http_limits(2, _SYNC_SECONDS)
        with _advice():
            with self._step("connecting", 0, _CHECK_SECONDS):
                connection.probe(self.uri)
            with self._step("writing an artifact"):
                location = self._check_artifacts()  # before the experiment exists: its location can never be changed
            with self._step("opening the experiment"):
                self._open()
            with self._step("writing an artifact"):
                if location is None:  # the server has just chosen it
                    self._check_artifacts()

    @contextmanager
    def _step(self, doing: str, retries: int = 1, seconds: int = _SYNC_SECONDS) -> Iterator[None]:
        """A step of `check`: its failures are explained, and its HTTP is limited unless the store is a database."""
        database = connection.is_database(self.uri)
        limits = nullcontext() if database else connection.http_limits(retries, seconds)
        with connection.store_errors(self.uri, doing), limits:
            yield

    def begin_check(self) -> None:
        """The quick part of `check`, before threads start: all of it for a server, but no MLflow for an SQLite file.

        Raises TrackingError.
        """
        if connection.sqlite_file(self.uri) is None:
            self.check()
            return
        connection.set_http_limits(2, _SYNC_SECONDS)
        with _advice(), connection.store_errors(self.uri, "connecting"):
            connection.check_sqlite_file(self.uri)
        self._check_pending = True

    def finish_check(self) -> None:
        """The rest of `check` after `begin_check`. Raises TrackingError."""
        if self._check_pending:
            self.check()

    def sync(self, rows: Sequence[Row]) -> int:
        """Write what the store lacks of the journal. Returns the number of new rows. Raises TrackingError.

        `rows`: all rows so far in order of `seq`, or at least all since the last call.
        """
        fresh = rows[bisect_right(rows, self._cursor, key=lambda row: int(row["seq"])) :]
        for row in fresh:
            self._records.apply(row)
            self._cursor = int(row["seq"])
        self._rows = rows
        if self._system and self._records.sweep:
            self._system.sample(self._records.sweep.started)
        if self._progress and self._records.sweep:
            self._progress.sample(self._records.sweep.started)
        with self._reset_on_error("recording"):
            self._flush()
        self._written = self._cursor
        return len(fresh)

    def behind(self, rows: Sequence[Row]) -> int:
        """How many of the rows are not known to be in the store."""
        return int(rows[-1]["seq"]) - self._written if rows else 0

    def log_journal(self, rows: Sequence[Row]) -> None:
        """Upload the rows, once synced, as the artifact from which other machines read the sweep.

        Does nothing if a tag says that the store has an artifact with the same digest.
        """
        if self._parent is None:
            return
        data = self._packer.pack(rows)
        digest = hashlib.sha256(data).hexdigest()
        if self._parent.tags.get(JOURNAL_TAG) != digest:
            with self._reset_on_error("uploading the journal"):
                client, parent = self._open(), self._parent
                put(client, parent.id, JOURNAL, data)
                parent.set_tag(client, JOURNAL_TAG, digest)

    def finish(
        self,
        front: Mapping[str, Any],
        rows: Sequence[Row],
        trials: Path,
        files: Mapping[str, bytes | str] | None = None,
        summary: SweepSummary | None = None,
    ) -> Registration:
        """Register every front point, and log the front, the decisions, `files` (name -> content) and the summary.

        `front`: as in `front --json`. `trials`: the folder with `<trial>/epoch-003/{model/,manifest.json}`. Aliases
        are set last, after the artifacts were verified in the store. Calling it again adds nothing. Raises
        TrackingError, and VerificationError for a checkpoint that does not match its manifest.
        """
        self.sync(rows)
        with self._reset_on_error("registering the front"):
            parent = self._parent
            if parent is None:
                raise TrackingError(f"sweep {self.sweep}: its journal is empty, so there is nothing to register")
            client = self._open()
            registration = register_front(client, self.study, parent, self._children, front, trials, rows)
            every = {**(files or {}), **(summary.files if summary else {})}
            tables.log_tables(client, parent.id, registration.published(front), rows, every)
            if summary is not None:
                tables.log_numbers(client, parent, summary)
            registration = set_aliases(client, registration)
            self._mark_registered(client, parent, registration, front)
            return registration

    def _mark_registered(
        self, client: MlflowClient, parent: Handle, registration: Registration, front: Mapping[str, Any]
    ) -> None:
        """Tag the trials with a checkpoint on a front, describe the sweep, and last tag it as registered."""
        winners = {point.trial for point in registration.points}
        for trial, run in self._children.items():
            old = run.tags.get(FRONT_TAG)
            new = "true" if trial in winners else "false" if old else None
            if new is not None:
                run.set_tag(client, FRONT_TAG, new)
        versions = {f"{point.trial}@{point.epoch}": point.version for point in registration.points}
        text = descriptions.describe_registered(self.spec, self.sweep, front, versions)
        parent.set_tag(client, NOTE, text)
        parent.set_tag(client, "letheon.registered", "true")

    @contextmanager
    def _reset_on_error(self, doing: str) -> Iterator[None]:
        """After a failure the state of the store is unknown, so it is looked up again next time."""
        try:
            connection.set_http_limits(2, _SYNC_SECONDS)  # no change after `check`, which ran before there were threads
            with connection.store_errors(self.uri, doing):
                yield
        except TrackingError:
            self._parent, self._children, self._experiment, self._client = None, {}, None, None
            self._records.changed = dict(self._records.trials)
            raise

    def _open(self) -> MlflowClient:
        if self._client is None:
            self._client = connection.open_client(self.uri)
        if self._experiment is None:
            self._experiment = self._find_experiment(self._client)
        return self._client

    def _check_artifacts(self) -> str | None:
        """Check that the study's artifact location can be written, and return it; None if it is not known yet."""
        client = connection.open_client(self.uri)
        experiment = client.get_experiment_by_name(self.study)
        new = None if experiment else connection.artifact_location(self.root, self.uri, self.study)
        location = experiment.artifact_location if experiment else new
        if location is not None:
            check_writable(client, str(location))
        return location

    def _find_experiment(self, client: MlflowClient) -> str:
        experiment = client.get_experiment_by_name(self.study)
        if experiment is None:
            folder = connection.artifact_location(self.root, self.uri, self.study)
            return client.create_experiment(self.study, artifact_location=folder, tags=descriptions.experiment_tags())
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"MLflow experiment {self.study!r} was deleted, so runs cannot be added to it; restore it "
                f"(mlflow experiments restore --experiment-id {experiment.experiment_id}) or rename the study"
            )
        return experiment.experiment_id

    def _flush(self) -> None:
        sweep = self._records.sweep
        if sweep is None:
            return
        client = self._open()
        if self._parent is None:
            self._find_or_create_runs(client, sweep)
        assert self._parent is not None and self._experiment is not None
        for trial, record in list(self._records.changed.items()):
            if trial not in self._children:
                tags = {runs.PARENT_TAG: self._parent.id, "letheon.sweep": self.sweep, "letheon.kind": "trial"}
                tags["letheon.trial_id"] = trial
                self._children[trial] = runs.create(client, self._experiment, record.name, record.started, tags)
            self._put_texts(client, trial, record)
            run_writer.write(client, self._children[trial], record)
            del self._records.changed[trial]
        if self._progress:
            for trial in self._progress.waiting.keys() & self._children.keys():
                points = self._progress.waiting[trial]
                run_writer.log_points(client, self._children[trial], points)
                self._progress.written(trial, points)
        log_inputs(client, self._parent, self._records.data, self.spec)
        measured = self._system.waiting if self._system else []
        run_writer.write(client, self._parent, sweep, measured)
        if self._system:
            self._system.written(measured)

    def _put_texts(self, client: MlflowClient, trial: str, record: Record) -> None:
        """Upload the texts that an ended trial's models generated. The tags that mark them as there come later."""
        if self._folder is None or record.tags.get("letheon.outcome") not in STATUS_OF_OUTCOME:
            return
        run = self._children[trial]
        if SAMPLES_TAG not in run.tags:
            put(client, run.id, SAMPLES, tables.dump(samples_of(self._folder, self._rows, trial)))
            record.tags[SAMPLES_TAG] = "true"
        audited = record.tags.get(AUDITED)
        if audited and run.tags.get(AUDITS_TAG) != audited:
            put(client, run.id, AUDITS, tables.dump(audits_of(self._rows, trial)))
            record.tags[AUDITS_TAG] = audited

    def _find_or_create_runs(self, client: MlflowClient, sweep: Record) -> None:
        """Find the runs of an earlier process by their tags, or create the parent.

        The journal's first time is part of a sweep's identity: a second sweep of the same name gets its own runs.
        """
        assert self._experiment is not None
        identity = {"letheon.kind": "sweep", "letheon.sweep": self.sweep, "letheon.started": str(sweep.started)}
        found = runs.search(client, [self._experiment], identity)
        if found:
            self._parent = Handle.of(found[0])
            children = runs.search(client, [self._experiment], {runs.PARENT_TAG: self._parent.id})
            for run in reversed(children):  # if a trial has two runs, the older one is kept
                self._children[run.data.tags.get("letheon.trial_id", "")] = Handle.of(run)
        else:
            self._parent = runs.create(client, self._experiment, self.sweep, sweep.started, identity)
        if self._parent.tags.get("letheon.described") != "true":
            self._describe(client, self._parent)

    def _describe(self, client: MlflowClient, parent: Handle) -> None:
        """Record the resolved spec, versions and commit; the tag comes last, so a crash before it repeats this."""
        plugins = self.spec.get("plugins", ())
        record = Record(name=self.sweep, started=0, status=parent.status, params=flatten(self.spec))
        record.tags = {f"letheon.version.{name}": version for name, version in environment.versions().items()}
        record.tags |= {
            f"letheon.plugin.{Path(one.get('file') or one['module']).name}": one["sha256"] for one in plugins
        }
        record.tags |= environment.search_tags(self.spec) | environment.source_tags(Path.cwd(), self.sweep)
        record.tags[NOTE] = descriptions.describe_running(self.spec, self.sweep)
        put(client, parent.id, environment.ENVIRONMENT, tables.dump(environment.environment(Path.cwd())))
        text = yaml.safe_dump(dict(self.spec), sort_keys=False, allow_unicode=True)
        client.log_text(parent.id, redact(text), SPEC)
        for plugin in plugins:
            if self._folder is not None and (file := self._folder / plugin.get("file", "")).is_file():
                put(client, parent.id, file.name, file.read_text(encoding="utf-8", errors="replace"))
        run_writer.write(client, parent, record)
        client.set_tag(parent.id, "letheon.described", "true")


@contextmanager
def _advice() -> Iterator[None]:
    """Add a general fix to a TrackingError without one."""
    fix = "start the tracking server, or set MLFLOW_TRACKING_URI to one that runs, or unset it for a local store"
    try:
        yield
    except TrackingError as error:
        raise error if error.advice else TrackingError(str(error), fix) from error
