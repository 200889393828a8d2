"""Reads a sweep back from MLflow: its run, its front, its rows, the version of a point. Writes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import VerificationError
from letheon.common.redaction import redact
from letheon.journal import Row
from letheon.tracking.registry import model_name, versions_of
from letheon.tracking.store import connection, runs
from letheon.tracking.store.artifacts import read
from letheon.tracking.store.errors import SweepNotFoundError, TrackingError
from letheon.tracking.store.journal_artifact import JOURNAL, MAX_PACKED, unpack
from letheon.tracking.store.runs import Handle
from letheon.tracking.tables import FRONT, FRONT_DIGEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    Version = ModelVersion  # for annotations elsewhere

_MAX_FRONT_BYTES = 64 * 2**20
# No quotes in names: MLflow's filters cannot escape them.
_ADDRESS = re.compile(r"models:/(?P<model>[^/@:'\"`\\\n]+)(?:@(?P<alias>[\w.-]{1,255})|/(?P<version>\d{1,9}))")
_RUN = re.compile(r"[0-9a-f]{32}")


def open_store(root: Path, uri: str | None = None) -> MlflowClient:
    """A client for an existing store. Raises SweepNotFoundError instead of creating an empty SQLite file."""
    where = connection.tracking_uri(root, uri)
    file = connection.sqlite_file(where)
    if file is not None and not file.is_file():
        raise SweepNotFoundError(
            f"{file}: no tracking store here; give the --root of the sweep, or set MLFLOW_TRACKING_URI"
        )
    with connection.store_errors(where, "connecting"), connection.http_limits(1, 10):
        connection.probe(where)
    return connection.open_client(where)


def find_sweep(client: MlflowClient, sweep: str, study: str | None = None) -> tuple[str, Handle]:
    """Study and parent run of the newest sweep of that name. Raises SweepNotFoundError, which lists the names."""
    studies = {e.experiment_id: e.name for e in client.search_experiments() if study in (None, e.name)}
    found = runs.search(client, list(studies), {"letheon.kind": "sweep"}) if studies else []
    named = [run for run in found if run.data.tags.get("letheon.sweep") == sweep]
    if not named:
        names = ", ".join(sorted({run.data.tags.get("letheon.sweep", "?") for run in found})) or "none"
        raise SweepNotFoundError(f"sweep {sweep!r}: not in {redact(client.tracking_uri)}; there: {names}")
    owners = sorted({studies[run.info.experiment_id] for run in named})
    if len(owners) > 1:
        raise SweepNotFoundError(f"sweep {sweep!r}: several studies have one ({', '.join(owners)}); name the study")
    return owners[0], Handle.of(named[-1])


@dataclass(frozen=True)
class Found:
    """A sweep's parent run and study, and the model version if one was asked for."""

    sweep: str
    study: str
    parent: Handle
    version: ModelVersion | None = None


def find_sweep_or_version(client: MlflowClient, name: str, study: str | None = None) -> Found:
    """A sweep by its name, or the sweep of a model version given by MLflow's address.

    An alias is resolved to its version here, once. Raises SweepNotFoundError.
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
        raise SweepNotFoundError(f"{name}: was not registered by letheon, so it cannot be verified")
    parent = Handle.of(client.get_run(run))
    return Found(parent.tags.get("letheon.sweep", ""), address["model"], parent, version)


def aliases_of(client: MlflowClient, study: str) -> Mapping[str, str]:
    """Alias -> version of a study's model; empty if it has no model."""
    found = client.search_registered_models(f"name = '{model_name(study)}'", max_results=1)
    return dict(found[0].aliases) if found else {}


def version_by_alias(client: MlflowClient, study: str, alias: str) -> ModelVersion:
    """The version that an alias points at now. Raises SweepNotFoundError, which lists the aliases."""
    aliases = aliases_of(client, study)
    if alias not in aliases:
        known = ", ".join(sorted(aliases)) or "none"
        raise SweepNotFoundError(f"models:/{study}@{alias}: no such alias; there are: {known}")
    return _version(client, study, f"models:/{study}@{alias}", int(aliases[alias]))


def _version(client: MlflowClient, study: str, address: str, number: int) -> ModelVersion:
    for version in versions_of(client, model_name(study)):
        if int(version.version) == number:
            return version
    raise SweepNotFoundError(f"{address}: no such model version")


def read_front(client: MlflowClient, sweep: str, parent: Handle) -> dict[str, Any]:
    """The front's table as `Tracker.finish` logged it.

    Raises SweepNotFoundError if the sweep has not registered one, and VerificationError if it was changed since.
    """
    registered = parent.tags.get("letheon.registered") == "true"
    data = read(client, parent.id, FRONT, _MAX_FRONT_BYTES) if registered else None
    if data is None:
        state = parent.tags.get("letheon.state", "unknown")
        raise SweepNotFoundError(
            f"sweep {sweep!r} is {state} and has registered no checkpoints yet; "
            f"wait for its end, or run: letheon resume {sweep}"
        )
    if hashlib.sha256(data).hexdigest() != client.get_run(parent.id).data.tags.get(FRONT_DIGEST):
        raise VerificationError(
            f"sweep {sweep!r}: its {FRONT} is not the one that was recorded; the store was changed, or the sweep "
            f"is being registered right now; register it again: letheon resume {sweep}"
        )
    front = json.loads(data)
    if not isinstance(front, dict) or not isinstance(front.get("strata"), dict):
        raise SweepNotFoundError(
            f"sweep {sweep!r}: its {FRONT} is not a front's table; register it again: letheon resume {sweep}"
        )
    return front


def find_version(client: MlflowClient, study: str, parent: Handle, trial: str, epoch: int) -> ModelVersion:
    """The newest version of a front point that this sweep registered. Raises SweepNotFoundError."""
    wanted = {"letheon.sweep_run": parent.id, "letheon.trial": trial, "letheon.epoch": str(epoch)}
    name = model_name(study)
    found = [v for v in versions_of(client, name) if all(v.tags.get(key) == value for key, value in wanted.items())]
    if not found:
        raise SweepNotFoundError(
            f"{trial}@{epoch}: model {name!r} has no version of it, perhaps because it was deleted; "
            f"register it again: letheon resume {parent.tags.get('letheon.sweep', '')}"
        )
    return max(found, key=lambda version: int(version.version))


def read_rows(client: MlflowClient, parent: Handle) -> list[Row]:
    """The journal rows of a sweep; empty before its journal was uploaded.

    Raises TrackingError if the artifact is too large or not a valid journal.
    """
    try:
        packed = read(client, parent.id, JOURNAL, MAX_PACKED)
    except VerificationError as error:
        raise TrackingError(str(error)) from error
    return [] if packed is None else unpack(packed, f"{JOURNAL} of run {parent.id}")
