"""Files of a run in MLflow: list, upload, download, and verify in place."""

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
from letheon.tracking.store.artifact_readers import ArtifactReader, MlflowReader, open_reader
from letheon.tracking.store.connection import is_client_error, local_folder
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
_TEST_FILE = "letheon-was-here.txt"
_PAUSE = 0.5  # seconds before the second attempt; twice as long before the third
_INCOMING = "incoming"  # name of a file until it is verified


def checkpoint_path(epoch: int) -> str:
    """The path of a checkpoint among the artifacts of its trial's run."""
    return f"checkpoints/{epoch_name(epoch)}"


def reader_of(client: MlflowClient, run_id: str) -> ArtifactReader:
    """A reader of a run's artifacts, at the location that the tracking server gives."""
    return open_reader(client, run_id, str(client.get_run(run_id).info.artifact_uri or ""))


def listing(reader: ArtifactReader, prefix: str) -> dict[str, int | None]:
    """Every file below `prefix`: path relative to it -> bytes (None if the store does not say).

    Paths are as the store gives them; all that is checked is that each lies below `prefix` and is listed once.
    Raises VerificationError.
    """
    files: dict[str, int | None] = {}
    folders = [(prefix, 0)]
    seen = 0
    while folders:
        folder, depth = folders.pop()
        for entry in reader.entries(folder):
            seen += 1
            if seen > _MAX_LISTED or depth > _MAX_DEPTH or len(entry.path) > _MAX_PATH:
                raise VerificationError(f"artifacts under {prefix!r}: more than any checkpoint has; none was kept")
            name = entry.path.removeprefix(f"{folder}/")
            if not entry.path.startswith(f"{folder}/") or not name or "/" in name:
                raise VerificationError(f"artifact {entry.path!r}: not below {folder!r}, where the store lists it")
            if entry.is_folder:
                folders.append((entry.path, depth + 1))
                continue
            path = entry.path.removeprefix(f"{prefix}/")
            if path in files:
                raise VerificationError(f"artifact {entry.path!r}: the store lists it twice")
            files[path] = entry.bytes
    return files


def upload(client: MlflowClient, run_id: str, prefix: str, folder: Path, manifest: Manifest) -> None:
    """Upload the manifest's files, then the manifest, from `folder` (`model/` and `manifest.json`)."""
    for name in manifest.files:
        target = PurePosixPath(prefix, "model", name).parent
        client.log_artifact(run_id, str(folder / "model" / name), str(target))
    client.log_artifact(run_id, str(folder / MANIFEST), prefix)


def check_writable(client: MlflowClient, location: str) -> None:
    """Write a small file where a study's artifacts go, read it back, and delete it if that is allowed.

    Raises TrackingError if the location cannot be read back: a checkpoint must be, before it is registered.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        reader = open_reader(client, "", location)
        place: Any = get_artifact_repository(location, tracking_uri=client.tracking_uri)
        with scratch("try") as temporary:
            path = temporary / _TEST_FILE
            path.write_text("letheon checks that it can write here\n")
            place.log_artifact(str(path))
            if not isinstance(reader, MlflowReader):  # that one reads from runs only
                download(reader, _TEST_FILE, temporary / "back", path.stat().st_size)
    except VerificationError as error:
        raise TrackingError(
            f"study's {error}",
            "set MLFLOW_DEFAULT_ARTIFACT_ROOT; an existing study keeps its location, so rename the study",
        ) from error
    with suppress(Exception):  # many accounts may write but not delete
        place.delete_artifacts(_TEST_FILE)


def put(client: MlflowClient, run_id: str, name: str, content: bytes | str) -> None:
    """Write, or replace, one artifact at the top of a run. Text is redacted."""
    with scratch("put") as temporary:
        path = temporary / name
        path.write_bytes(content if isinstance(content, bytes) else redact(content).encode())
        client.log_artifact(run_id, str(path))


def read(client: MlflowClient, run_id: str, name: str, limit: int) -> bytes | None:
    """An artifact at the top of a run; None if not listed. Raises VerificationError if larger than `limit` bytes."""
    reader = reader_of(client, run_id)
    sizes = {entry.path: entry.bytes for entry in reader.entries("")}
    if name not in sizes:
        return None
    if (sizes[name] or 0) > limit:
        raise VerificationError(f"artifact {name!r} of run {run_id}: has {sizes[name]} bytes, the limit is {limit}")
    with scratch("read") as temporary:
        return download(reader, name, temporary / name, limit).read_bytes()


def download(reader: ArtifactReader, path: str, target: Path, limit: int) -> Path:
    """Download one artifact of at most `limit` bytes to `target`, whole or not at all. Retries a broken one twice."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    for attempt in range(_ATTEMPTS):
        try:
            reader.save(path, partial, limit)
            os.replace(partial, target)
            break
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or not is_client_error(error):
                raise
            time.sleep(_PAUSE * 2**attempt)
        finally:
            partial.unlink(missing_ok=True)
    return target


def download_missing(reader: ArtifactReader, prefix: str, manifest: Manifest, folder: Path) -> None:
    """Download the manifest's files that `folder/model/` does not have yet.

    Each gets its name only after its size and SHA-256 are checked, so every file there is complete.
    """
    for name, entry in manifest.files.items():
        target = folder / "model" / name
        if not target.exists():
            incoming = download(reader, f"{prefix}/model/{name}", folder / _INCOMING, entry.bytes)
            check_file(incoming, entry, f"{prefix}/model/{name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(incoming, target)


def verify_in_store(client: MlflowClient, run: Handle, prefix: str, manifest: Manifest) -> None:
    """Check the files in the store against the manifest; remote ones are downloaded. Raises VerificationError."""
    folder = local_folder(run.artifact_uri)
    if folder is not None:
        _check_folder(folder / prefix, manifest)
        return
    reader = open_reader(client, run.id, run.artifact_uri)
    with scratch("verify") as copy:
        expected = {MANIFEST, *(f"model/{name}" for name in manifest.files)}
        if set(listing(reader, prefix)) != expected:
            raise VerificationError(f"artifacts under {prefix!r} of run {run.id}: not the manifest's files")
        download(reader, f"{prefix}/{MANIFEST}", copy / MANIFEST, MAX_MANIFEST_BYTES)
        download_missing(reader, prefix, manifest, copy)
        _check_folder(copy, manifest)


def _check_folder(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    if not path.is_file() or sha256(path) != manifest.digest:
        raise VerificationError(f"{path}: missing, or not the manifest with SHA-256 {manifest.digest}")
    verify(folder / "model", read_manifest(path))
