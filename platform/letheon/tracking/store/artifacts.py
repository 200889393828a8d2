"""Files of a run in MLflow: list, put, fetch and verify in place. Does not know sweeps or the registry."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    VerificationError,
    check_file,
    read_manifest,
    verify,
)
from letheon.common.redaction import redact
from letheon.common.scratch import scratch
from letheon.tracking.store.artifact_readers import ArtifactReader, MlflowReader, open_shelf
from letheon.tracking.store.connection import local_folder, of_a_client
from letheon.tracking.store.errors import TrackingError
from trainables.storage.manifest import MANIFEST, sha256
from trainables.storage.trial_folder import epoch_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from letheon.tracking.store.runs import Handle

_MAX_LISTED = 10_000
_MAX_DEPTH = 8
_MAX_PATH = 1000
_ATTEMPTS = 3
_TRIED = "letheon-was-here.txt"
_PAUSE = 0.5  # seconds before the second attempt; twice as long before the third
INCOMING = "incoming"  # the file that is being downloaded, in the folder of those that are whole


def checkpoint_path(epoch: int) -> str:
    """Where a front checkpoint of a trial lies among the artifacts of its run."""
    return f"checkpoints/{epoch_name(epoch)}"


def shelf_of(client: MlflowClient, run_id: str) -> ArtifactReader:
    """The artifacts of a run, wherever the tracking server says they are."""
    return open_shelf(client, run_id, str(client.get_run(run_id).info.artifact_uri or ""))


def listing(shelf: ArtifactReader, prefix: str) -> dict[str, int | None]:
    """Every file below `prefix`: path relative to it -> bytes (None where the store does not say).

    The paths are as the store gives them, unchecked, except that each must lie under `prefix`, and once.
    """
    files: dict[str, int | None] = {}
    folders = [(prefix, 0)]
    seen = 0
    while folders:
        folder, depth = folders.pop()
        for entry in shelf.entries(folder):
            seen += 1
            if seen > _MAX_LISTED or depth > _MAX_DEPTH or len(entry.path) > _MAX_PATH:
                raise VerificationError(f"artifacts under {prefix!r}: more than any checkpoint has; nothing was kept")
            name = entry.path.removeprefix(f"{folder}/")
            if not entry.path.startswith(f"{folder}/") or not name or "/" in name:
                raise VerificationError(
                    f"artifact {entry.path!r}: the store lists it under {folder!r}, where it is not"
                )
            if entry.is_folder:
                folders.append((entry.path, depth + 1))
                continue
            path = entry.path.removeprefix(f"{prefix}/")
            if path in files:
                raise VerificationError(f"artifact {entry.path!r}: the store lists it twice")
            files[path] = entry.bytes
    return files


def upload(client: MlflowClient, run_id: str, prefix: str, folder: Path, manifest: Manifest) -> None:
    """The files that the manifest names and then the manifest itself, from `folder` (`model/` + `manifest.json`)."""
    for name in manifest.files:
        target = PurePosixPath(prefix, "model", name).parent
        client.log_artifact(run_id, str(folder / "model" / name), str(target))
    client.log_artifact(run_id, str(folder / MANIFEST), prefix)


def try_writing(client: MlflowClient, location: str) -> None:
    """Put a small file where a study's artifacts go, read it, and take it away again if that is allowed.

    Raises TrackingError for a place that cannot be read back: checkpoints are registered only once they were.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        shelf = open_shelf(client, "", location)
        place: Any = get_artifact_repository(location, tracking_uri=client.tracking_uri)
        with scratch("try") as temporary:
            path = temporary / _TRIED
            path.write_text("letheon looks whether it can write here\n")
            place.log_artifact(str(path))
            if not isinstance(shelf, MlflowReader):  # which reads runs only
                download(shelf, _TRIED, temporary / "back", path.stat().st_size)
    except VerificationError as error:
        raise TrackingError(
            f"study's {error}",
            "set MLFLOW_DEFAULT_ARTIFACT_ROOT; a study that exists keeps its place, so give it a new name",
        ) from error
    with suppress(Exception):  # many may write and must not delete
        place.delete_artifacts(_TRIED)


def put(client: MlflowClient, run_id: str, name: str, content: bytes | str) -> None:
    """One artifact at the top of a run; text without secrets. What is there under this name is replaced."""
    with scratch("put") as temporary:
        path = temporary / name
        path.write_bytes(content if isinstance(content, bytes) else redact(content).encode())
        client.log_artifact(run_id, str(path))


def download(shelf: ArtifactReader, path: str, target: Path, limit: int) -> Path:
    """One artifact of at most `limit` bytes as the file `target`, which is there whole or not at all.

    What breaks off is tried again, twice.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    for attempt in range(_ATTEMPTS):
        try:
            shelf.save(path, partial, limit)
            os.replace(partial, target)
            break
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or not of_a_client(error):
                raise
            time.sleep(_PAUSE * 2**attempt)
        finally:
            partial.unlink(missing_ok=True)
    return target


def fetch(shelf: ArtifactReader, prefix: str, manifest: Manifest, folder: Path) -> None:
    """Download exactly the files that the manifest names and `folder/model/` has not, one by one.

    Each is checked by size and SHA-256 before it gets its name, so what is there is whole.
    """
    for name, entry in manifest.files.items():
        target = folder / "model" / name
        if not target.exists():
            incoming = download(shelf, f"{prefix}/model/{name}", folder / INCOMING, entry.bytes)
            check_file(incoming, entry, f"{prefix}/model/{name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(incoming, target)


def check_in_place(client: MlflowClient, run: Handle, prefix: str, manifest: Manifest) -> None:
    """Hash what the store holds against the manifest; remote files are read back. Raises VerificationError."""
    folder = local_folder(run.artifact_uri)
    if folder is not None:
        _check_folder(folder / prefix, manifest)
        return
    shelf = open_shelf(client, run.id, run.artifact_uri)
    with scratch("verify") as copy:
        expected = {MANIFEST, *(f"model/{name}" for name in manifest.files)}
        if set(listing(shelf, prefix)) != expected:
            raise VerificationError(f"artifacts under {prefix!r} of run {run.id}: not the files of the manifest")
        download(shelf, f"{prefix}/{MANIFEST}", copy / MANIFEST, MAX_MANIFEST_BYTES)
        fetch(shelf, prefix, manifest, copy)
        _check_folder(copy, manifest)


def _check_folder(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    if not path.is_file() or sha256(path) != manifest.digest:
        raise VerificationError(f"{path}: it is missing or not the manifest with SHA-256 {manifest.digest}")
    verify(folder / "model", read_manifest(path))
