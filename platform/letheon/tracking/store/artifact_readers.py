"""Reads the artifacts of one run from a store that may be hostile: bounded, following no links and no redirects.

MLflow's own client follows both, and writes whatever it receives.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlparse

from letheon.checkpoints.manifest import VerificationError
from letheon.common.redaction import redact
from letheon.tracking.store.connection import local_folder
from letheon.tracking.store.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CHUNK = 2**20
_MAX_LISTING_BYTES = 16 * 2**20
# Schemes read through MLflow. Others are refused: `ftp:`, `abfss:` and the like send credentials to any host that the
# URI names, and `models:` points to another run.
_THROUGH_MLFLOW = {"gs", "wasb", "wasbs"}


@dataclass(frozen=True)
class ArtifactEntry:
    """A file or folder as the store lists it. `path`: relative to the run's artifacts; `bytes`: None if unknown."""

    path: str
    is_folder: bool
    bytes: int | None


class ArtifactReader(Protocol):
    """Read access to the artifacts of one run."""

    def entries(self, folder: str) -> Iterable[ArtifactEntry]:
        """What is directly in a folder; empty if it does not exist. Paths are as the store gives them, unchecked."""

    def save(self, path: str, target: Path, limit: int) -> None:
        """Write one artifact to the new file `target`. Raises VerificationError as soon as it exceeds `limit` bytes."""


def open_reader(client: MlflowClient, run_id: str, artifact_uri: str) -> ArtifactReader:
    """The reader for an artifact URI. Raises VerificationError for a URI that must not be followed."""
    scheme = urlparse(artifact_uri).scheme
    folder = local_folder(artifact_uri)
    if folder is not None and folder.is_absolute():  # a relative one would depend on the working folder
        return LocalReader(folder)
    if scheme in ("mlflow-artifacts", "http", "https"):
        return ServerReader(artifact_uri, client.tracking_uri)
    if scheme == "s3":
        return S3Reader(artifact_uri)
    if scheme in _THROUGH_MLFLOW:
        return MlflowReader(client, run_id)
    raise VerificationError(
        f"artifact location {redact(artifact_uri)}: refused; it must be an absolute folder, the tracking server, "
        "s3://, gs:// or wasbs://"
    )


class LocalReader:
    """Artifacts on a mounted file system. No link is followed at any level of a path, so none can lead outside."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entries(self, folder: str) -> Iterator[ArtifactEntry]:
        try:
            with self._open(folder, os.O_DIRECTORY) as descriptor, os.scandir(descriptor) as found:
                for entry in found:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    mode = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(mode.st_mode) and not stat.S_ISREG(mode.st_mode):
                        raise _link_error(self._root / path)
                    yield ArtifactEntry(path, stat.S_ISDIR(mode.st_mode), mode.st_size)
        except FileNotFoundError:
            return

    def save(self, path: str, target: Path, limit: int) -> None:
        try:
            with self._open(path, os.O_NONBLOCK) as descriptor:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise _link_error(self._root / path)
                write(iter(lambda: os.read(descriptor, _CHUNK), b""), path, target, limit)
        except FileNotFoundError as error:
            raise _missing_error(path) from error

    @contextmanager
    def _open(self, path: str, flags: int) -> Iterator[int]:
        """A descriptor of `path` below the root, opened part by part."""
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            raise VerificationError(f"artifact {path!r}: a path must not contain ..")
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for index, part in enumerate(parts):
                wanted = flags if index == len(parts) - 1 else os.O_DIRECTORY
                try:
                    inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | wanted, dir_fd=descriptor)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                        raise _link_error(self._root / path) from error
                    raise
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


class ServerReader:
    """Artifacts served by the tracking server. Responses are bounded and redirects refused."""

    _SERVICE = "/mlflow-artifacts/artifacts"

    def __init__(self, artifact_uri: str, tracking_uri: str) -> None:
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        url = artifact_uri
        if url.startswith("mlflow-artifacts:"):
            url = MlflowArtifactsRepository.resolve_uri(artifact_uri, tracking_uri)  # type: ignore[no-untyped-call]
        if _host(url) != _host(tracking_uri):
            raise VerificationError(
                f"artifact location {redact(artifact_uri)}: refused, since another server than {redact(tracking_uri)} "
                "would receive the tracking server's password"
            )
        base, service, root = url.partition(self._SERVICE)
        if not service:
            raise VerificationError(f"artifact location {redact(artifact_uri)}: not an address of MLflow's server")
        self._base, self._root = base, root.strip("/")

    def entries(self, folder: str) -> Iterator[ArtifactEntry]:

        path = f"{self._root}/{folder}".strip("/")
        with self._get(self._SERVICE, folder, params={"path": path}) as response:
            body = b"".join(bounded(_stream(response), f"listing of {folder}", _MAX_LISTING_BYTES))
        try:
            for found in json.loads(body).get("files", []):
                size = found.get("file_size")
                path = f"{folder}/{found['path']}" if folder else str(found["path"])
                yield ArtifactEntry(path, bool(found["is_dir"]), None if size is None else int(size))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise VerificationError(f"artifacts under {folder!r}: the server returned an invalid listing") from error

    def save(self, path: str, target: Path, limit: int) -> None:
        with self._get(f"{self._SERVICE}/{self._root}/{path}", path) as response:
            _check_length(path, response.headers.get("Content-Length"), limit)
            write(_stream(response), path, target, limit)

    @contextmanager
    def _get(self, endpoint: str, what: str, **options: Any) -> Iterator[Any]:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        headers = {"Accept-Encoding": "identity"}  # so that the bytes counted are the bytes of the file
        response: Any = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(self._base),  # type: ignore[no-untyped-call]
            endpoint,
            "GET",
            extra_headers=headers,
            stream=True,
            allow_redirects=False,
            hooks={"response": _drop_location},
            **options,
        )
        with response:
            if HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST:
                raise VerificationError(f"artifact {what!r}: refused to follow the server's redirect")
            if response.status_code == HTTPStatus.NOT_FOUND:
                raise _missing_error(what)
            if response.status_code != HTTPStatus.OK:  # the body is not read: it could be endless
                raise TrackingError(f"artifact {what!r}: the server answered {response.status_code}")
            yield response


class S3Reader:
    """Artifacts in S3 or a compatible store, with MLflow's settings for it (endpoint, TLS, addressing)."""

    def __init__(self, artifact_uri: str) -> None:
        from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

        place = urlparse(artifact_uri)
        self._bucket, self._root = place.netloc, place.path.strip("/")
        self._s3: Any = S3ArtifactRepository(artifact_uri)._get_s3_client()  # type: ignore[no-untyped-call]

    def entries(self, folder: str) -> Iterator[ArtifactEntry]:
        prefix = f"{self._root}/{folder}".strip("/") + "/"
        start = len(self._root) + 1 if self._root else 0
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            for found in page.get("CommonPrefixes", []):
                yield ArtifactEntry(str(found["Prefix"])[start:].rstrip("/"), True, None)
            for found in page.get("Contents", []):
                if found["Key"] != prefix:  # some consoles store an empty object for the folder itself
                    yield ArtifactEntry(str(found["Key"])[start:], False, int(found["Size"]))

    def save(self, path: str, target: Path, limit: int) -> None:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._root}/{path}".strip("/"))
        except self._s3.exceptions.NoSuchKey as error:
            raise _missing_error(path) from error
        _check_length(path, answer.get("ContentLength"), limit)
        with closing(answer["Body"]) as body:
            write(body.iter_chunks(_CHUNK), path, target, limit)


class MlflowReader:
    """Artifacts that only MLflow can read. Their size is checked after the download."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run = client, run_id

    def entries(self, folder: str) -> Iterator[ArtifactEntry]:
        for found in self._client.list_artifacts(self._run, folder or None):
            yield ArtifactEntry(found.path, found.is_dir, found.file_size)

    def save(self, path: str, target: Path, limit: int) -> None:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as incoming:
            found = Path(self._client.download_artifacts(self._run, path, incoming))
            inside = found.resolve().is_relative_to(Path(incoming).resolve())
            if not inside or found.is_symlink() or not found.is_file():
                raise VerificationError(f"artifact {path!r}: the store did not return a file")
            _check_length(path, found.stat().st_size, limit)
            os.replace(found, target)


def write(chunks: Iterable[bytes], path: str, target: Path, limit: int) -> None:
    """Write at most `limit` bytes to the new file `target`, synced to disk."""
    with target.open("xb") as file:
        for chunk in bounded(chunks, path, limit):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def bounded(chunks: Iterable[bytes], what: str, limit: int) -> Iterator[bytes]:
    """The chunks. Raises VerificationError in place of the one that exceeds `limit` bytes in all."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise VerificationError(f"artifact {what!r}: the store sends more than the limit of {limit} bytes")
        yield chunk


def _drop_location(response: Any, **_: Any) -> None:
    """Without a location, `requests` does not read the body of a redirect, which could be endless."""
    response.headers.pop("location", None)


def _stream(response: Any) -> Iterator[bytes]:
    """The body as it comes over the wire; raises if it breaks off."""
    chunks: Iterator[bytes] = response.raw.stream(_CHUNK, decode_content=False)
    return chunks


def _check_length(path: str, length: str | int | None, limit: int) -> None:
    if length is not None and str(length).isdecimal() and int(length) > limit:
        raise VerificationError(f"artifact {path!r}: has {length} bytes, over the limit of {limit}")


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlparse(url)
    return parts.scheme, parts.hostname, parts.port


def _link_error(path: Path) -> VerificationError:
    return VerificationError(f"{path}: links and devices are refused; the store may have been tampered with")


def _missing_error(path: str) -> VerificationError:
    return VerificationError(f"artifact {path!r}: missing from the store")
