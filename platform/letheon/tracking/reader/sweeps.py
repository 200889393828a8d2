"""Reads a finished sweep back from MLflow: its run, its front, the version of a point. Writes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import VerificationError
from letheon.common.redaction import redact
from letheon.common.scratch import scratch
from letheon.journal import Row
from letheon.tracking.registry import model_name, versions_of
from letheon.tracking.store import connection, runs
from letheon.tracking.store.artifacts import download, reader_of
from letheon.tracking.store.errors import SweepNotFoundError, TrackingError
from letheon.tracking.store.journal_artifact import JOURNAL, MAX_PACKED, unpack
from letheon.tracking.store.runs import Handle
from letheon.tracking.tables import FRONT, FRONT_DIGEST
from trainables.storage.manifest import sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    Version = ModelVersion  # for annotations elsewhere

_MAX_FRONT_BYTES = 64 * 2**20
# MLflow's filters cannot escape quotes, so none may be in a name.
_ADDRESS = re.compile(r"models:/(?P<model>[^/@:'\"`\\\n]+)(?:@(?P<alias>[\w.-]{1,255})|/(?P<version>\d{1,9}))")
_RUN = re.compile(r"[0-9a-f]{32}")


def open_store(root: Path, uri: str | None = None) -> MlflowClient:
    """A client for a store that must be there. Raises SweepNotFoundError rather than making an empty SQLite file."""
    where = connection.tracking_uri(root, uri)
    file = connection.sqlite_file(where)
    if file is not None and not file.is_file():
        raise SweepNotFoundError(
            f"{file}: there is no tracking store here; give the --root of the sweep, or set MLFLOW_TRACKING_URI"
        )
    with connection.store_errors(where, "connecting"), connection.http_limits(1, 10):
        connection.probe(where)
    return connection.open_client(where)


def find_sweep(client: MlflowClient, sweep: str, study: str | None = None) -> tuple[str, Handle]:
    """Study and parent run of a sweep: the newest of that name. Raises SweepNotFoundError, naming what there is."""
    studies = {e.experiment_id: e.name for e in client.search_experiments() if study in (None, e.name)}
    found = runs.search(client, list(studies), {"letheon.kind": "sweep"}) if studies else []
    named = [run for run in found if run.data.tags.get("letheon.sweep") == sweep]
    if not named:
        names = ", ".join(sorted({run.data.tags.get("letheon.sweep", "?") for run in found})) or "none"
        raise SweepNotFoundError(f"sweep {sweep!r}: not in {redact(client.tracking_uri)}; there: {names}")
    owners = sorted({studies[run.info.experiment_id] for run in named})
    if len(owners) > 1:
        raise SweepNotFoundError(
            f"sweep {sweep!r}: several studies have one of that name ({', '.join(owners)}); name the study"
        )
    return owners[0], Handle.of(named[-1])


@dataclass(frozen=True)
class Found:
    """A sweep's parent run and study; `version` if it was a model version that was asked for."""

    sweep: str
    study: str
    parent: Handle
    version: ModelVersion | None = None


def find_sweep_or_version(client: MlflowClient, name: str, study: str | None = None) -> Found:
    """A sweep by its name, or the one that a model version by MLflow's address belongs to.

    Raises SweepNotFoundError. A version is pinned here: an alias that moves later changes nothing.
    """
    address = _ADDRESS.fullmatch(name)
    if address is None:
        if name.startswith("models:"):
            raise SweepNotFoundError(f"{name!r}: must be models:/NAME@ALIAS or models:/NAME/VERSION")
        owner, parent = find_sweep(client, name, study)
        return Found(name, owner, parent)
    if address["alias"]:
        version = version_by_alias(client, address["model"], address["alias"])
    else:
        version = _version(client, address["model"], name, int(address["version"]))
    run = version.tags.get("letheon.sweep_run", "")
    if not _RUN.fullmatch(run):
        raise SweepNotFoundError(f"{name}: was not registered by letheon, so there is nothing to verify it against")
    parent = Handle.of(client.get_run(run))
    return Found(parent.tags.get("letheon.sweep", ""), address["model"], parent, version)


def aliases_of(client: MlflowClient, study: str) -> Mapping[str, str]:
    """Alias -> version of a study's model; none if it has no model."""
    found = client.search_registered_models(f"name = '{model_name(study)}'", max_results=1)
    return dict(found[0].aliases) if found else {}


def version_by_alias(client: MlflowClient, study: str, alias: str) -> ModelVersion:
    """The version that the alias means now. Raises SweepNotFoundError, naming the aliases there are."""
    aliases = aliases_of(client, study)
    if alias not in aliases:
        there = ", ".join(sorted(aliases)) or "none"
        raise SweepNotFoundError(f"models:/{study}@{alias}: there is no such alias; there are: {there}")
    return _version(client, study, f"models:/{study}@{alias}", int(aliases[alias]))


def _version(client: MlflowClient, study: str, asked: str, number: int) -> ModelVersion:
    for version in versions_of(client, model_name(study)):
        if int(version.version) == number:
            return version
    raise SweepNotFoundError(f"{asked}: there is no such model version")


def read_front(client: MlflowClient, sweep: str, parent: Handle) -> dict[str, Any]:
    """The front's table as `finish` logged it. Raises SweepNotFoundError while the sweep has registered nothing."""
    reader = reader_of(client, parent.id)
    files = {entry.path: entry.bytes for entry in reader.entries("")}
    if FRONT not in files or parent.tags.get("letheon.registered") != "true":
        state = parent.tags.get("letheon.state", "unknown")
        raise SweepNotFoundError(
            f"sweep {sweep!r} is {state} and has registered no checkpoints yet; "
            f"wait for its end, or run: letheon resume {sweep}"
        )
    if (files[FRONT] or 0) > _MAX_FRONT_BYTES:
        raise SweepNotFoundError(f"sweep {sweep!r}: its {FRONT} has {files[FRONT]} bytes, which no front has")
    with scratch("front") as temporary:
        path = download(reader, FRONT, temporary / FRONT, _MAX_FRONT_BYTES)
        if sha256(path) != client.get_run(parent.id).data.tags.get(FRONT_DIGEST):
            raise VerificationError(
                f"sweep {sweep!r}: its {FRONT} is not the one that was recorded; the store was changed, or it is "
                f"being registered just now; register it again: letheon resume {sweep}"
            )
        front = _json(path.read_bytes())
    if not isinstance(front, dict) or not isinstance(front.get("strata"), dict):
        raise SweepNotFoundError(
            f"sweep {sweep!r}: its {FRONT} is not a front's table; register it again: letheon resume {sweep}"
        )
    return front


def find_version(client: MlflowClient, study: str, parent: Handle, trial: str, epoch: int) -> ModelVersion:
    """The newest version registered for a front point of this very sweep."""
    wanted: Mapping[str, str] = {
        "letheon.sweep_run": parent.id,
        "letheon.trial": trial,
        "letheon.epoch": str(epoch),
    }
    name = model_name(study)
    found = [v for v in versions_of(client, name) if all(v.tags.get(key) == value for key, value in wanted.items())]
    if not found:
        raise SweepNotFoundError(
            f"{trial}@{epoch}: model {name!r} has no version for it, it may have been deleted; "
            f"register it again: letheon resume {parent.tags.get('letheon.sweep', '')}"
        )
    return max(found, key=lambda version: int(version.version))


def read_rows(client: MlflowClient, parent: Handle) -> list[Row]:
    """The journal rows of a sweep, from the artifact that its first records come with; none before that.

    Raises TrackingError for an artifact that is too large, damaged or not a journal.
    """
    reader = reader_of(client, parent.id)
    sizes = {entry.path: entry.bytes for entry in reader.entries("")}
    if JOURNAL not in sizes:
        return []
    where = f"{JOURNAL} of run {parent.id}"
    if (sizes[JOURNAL] or 0) > MAX_PACKED:
        raise TrackingError(f"{where}: has {sizes[JOURNAL]} bytes, a journal has at most {MAX_PACKED}; it is not read")
    with scratch("journal") as temporary:
        try:
            packed = download(reader, JOURNAL, temporary / JOURNAL, MAX_PACKED)
        except VerificationError as error:
            raise TrackingError(f"{where}: {error}") from error
        return unpack(packed.read_bytes(), where)


def _json(data: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
