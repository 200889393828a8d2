"""Files of a run in MLflow: list, put, fetch and verify in place. Does not know sweeps or the registry."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from letheon.checkpoints.manifest import Manifest, VerificationError, read_manifest, verify
from letheon.tracking.redact import redact
from letheon.tracking.store import local_folder
from trainables.manifest import MANIFEST, sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from letheon.tracking.runs import Handle

_MAX_LISTED = 10_000
_MAX_DEPTH = 8


def checkpoint_path(epoch: int) -> str:
    """Where a front checkpoint of a trial lies among the artifacts of its run."""
    return f"checkpoints/epoch-{epoch:03d}"


def listing(client: MlflowClient, run_id: str, prefix: str) -> dict[str, int | None]:
    """Every file below `prefix`: path relative to it -> bytes (None where the store does not say).

    The paths are as the store gives them, unchecked, except that each must lie under `prefix`.
    """
    files: dict[str, int | None] = {}
    folders = [(prefix, 0)]
    while folders:
        folder, depth = folders.pop()
        for entry in client.list_artifacts(run_id, folder):
            if not entry.path.startswith(f"{prefix}/"):
                raise VerificationError(
                    f"artifact {entry.path!r}: the store lists it under {prefix!r}, where it is not"
                )
            if entry.is_dir:
                folders.append((entry.path, depth + 1))
            else:
                files[entry.path.removeprefix(f"{prefix}/")] = entry.file_size
            if len(files) > _MAX_LISTED or depth > _MAX_DEPTH:
                raise VerificationError(f"artifacts under {prefix!r}: more than any checkpoint has; nothing was kept")
    return files


def upload(client: MlflowClient, run_id: str, prefix: str, folder: Path, manifest: Manifest) -> None:
    """The files that the manifest names and then the manifest itself, from `folder` (`model/` + `manifest.json`)."""
    for name in manifest.files:
        target = PurePosixPath(prefix, "model", name).parent
        client.log_artifact(run_id, str(folder / "model" / name), str(target))
    client.log_artifact(run_id, str(folder / MANIFEST), prefix)


def put(client: MlflowClient, run_id: str, name: str, content: bytes | str) -> None:
    """One artifact at the top of a run; text without secrets. What is there under this name is replaced."""
    with tempfile.TemporaryDirectory(prefix="letheon-put-") as temporary:
        path = Path(temporary) / name
        path.write_bytes(content if isinstance(content, bytes) else redact(content).encode())
        client.log_artifact(run_id, str(path))


def download(client: MlflowClient, run_id: str, path: str, target: Path) -> Path:
    """One artifact as the file `target`. Where below a folder MLflow puts a download is not relied upon."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as incoming:
        found = Path(client.download_artifacts(run_id, path, incoming))
        if not found.resolve().is_relative_to(Path(incoming).resolve()) or found.is_symlink() or not found.is_file():
            raise VerificationError(f"artifact {path!r}: the store sent something else than a file")
        os.replace(found, target)
    return target


def fetch(client: MlflowClient, run_id: str, prefix: str, manifest: Manifest, folder: Path) -> None:
    """Download exactly the files that the manifest names, one by one, to `folder/model/`."""
    for name in manifest.files:
        download(client, run_id, f"{prefix}/model/{name}", folder / "model" / name)


def check_in_place(client: MlflowClient, run: Handle, prefix: str, manifest: Manifest) -> None:
    """Hash what the store holds against the manifest; remote files are read back. Raises VerificationError."""
    folder = local_folder(run.artifact_uri)
    if folder is not None:
        _check_folder(folder / prefix, manifest)
        return
    with tempfile.TemporaryDirectory(prefix="letheon-verify-") as temporary:
        copy = Path(temporary)
        expected = {MANIFEST, *(f"model/{name}" for name in manifest.files)}
        if set(listing(client, run.id, prefix)) != expected:
            raise VerificationError(f"artifacts under {prefix!r} of run {run.id}: not the files of the manifest")
        download(client, run.id, f"{prefix}/{MANIFEST}", copy / MANIFEST)
        fetch(client, run.id, prefix, manifest, copy)
        _check_folder(copy, manifest)


def _check_folder(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    if not path.is_file() or sha256(path) != manifest.digest:
        raise VerificationError(f"{path}: it is missing or not the manifest with SHA-256 {manifest.digest}")
    verify(folder / "model", read_manifest(path))
