"""Reads the artifacts of one run from a store that may lie: bounded, without links, without redirects.

MLflow's own client follows links and redirects and writes whatever it is sent. Knows no checkpoints and no manifests.
"""

from __future__ import annotations

import errno
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
# What MLflow alone can read. Others are refused: `ftp:`, `abfss:` and the like send credentials to whatever host the
# URI names, `models:` leads elsewhere.
_THROUGH_MLFLOW = {"gs", "wasb", "wasbs"}


@dataclass(frozen=True)
class Entry:
    """One thing in a folder as the store tells it. `path` is from the run's artifacts on; `bytes` None if unsaid."""

    path: str
    is_folder: bool
    bytes: int | None


class ArtifactReader(Protocol):
    """The artifacts of one run, to be read only."""

    def entries(self, folder: str) -> Iterable[Entry]:
        """What is directly in a folder; nothing if there is none. Paths are the store's word, unchecked."""

    def save(self, path: str, target: Path, limit: int) -> None:
        """One artifact as the new file `target`. Raises VerificationError as soon as it has more than `limit` bytes."""


def open_shelf(client: MlflowClient, run_id: str, artifact_uri: str) -> ArtifactReader:
    """The reader for this kind of artifact URI. Raises VerificationError for one that must not be followed."""
    scheme = urlparse(artifact_uri).scheme
    folder = local_folder(artifact_uri)
    if folder is not None and folder.is_absolute():  # another would lead to wherever this command happens to run
        return LocalReader(folder)
    if scheme in ("mlflow-artifacts", "http", "https"):
        return ServerReader(artifact_uri, client.tracking_uri)
    if scheme == "s3":
        return S3Reader(artifact_uri)
    if scheme in _THROUGH_MLFLOW:
        return MlflowReader(client, run_id)
    raise VerificationError(
        f"artifacts at {redact(artifact_uri)}: nothing is read from such a place; it must be an absolute "
        "folder, the tracking server, s3://, gs:// or wasbs://"
    )


class LocalReader:
    """Artifacts on a mounted file system. Every step is taken without following links, so none can lead outside."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entries(self, folder: str) -> Iterator[Entry]:
        try:
            with self._open(folder, os.O_DIRECTORY) as descriptor, os.scandir(descriptor) as found:
                for entry in found:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    mode = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(mode.st_mode) and not stat.S_ISREG(mode.st_mode):
                        raise _link(self._root / path)
                    yield Entry(path, stat.S_ISDIR(mode.st_mode), mode.st_size)
        except FileNotFoundError:
            return

    def save(self, path: str, target: Path, limit: int) -> None:
        try:
            with self._open(path, os.O_NONBLOCK) as descriptor:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise _link(self._root / path)
                write(iter(lambda: os.read(descriptor, _CHUNK), b""), path, target, limit)
        except FileNotFoundError as error:
            raise _missing(path) from error

    @contextmanager
    def _open(self, path: str, flags: int) -> Iterator[int]:
        """`path` below the root, opened part by part."""
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
                        raise _link(self._root / path) from error
                    raise
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


class ServerReader:
    """Artifacts that the tracking server hands out. Its word is bounded; it may not send us elsewhere."""

    _SERVICE = "/mlflow-artifacts/artifacts"

    def __init__(self, artifact_uri: str, tracking_uri: str) -> None:
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        url = artifact_uri
        if url.startswith("mlflow-artifacts:"):
            url = MlflowArtifactsRepository.resolve_uri(artifact_uri, tracking_uri)  # type: ignore[no-untyped-call]
        if _host(url) != _host(tracking_uri):  # the password would go along
            raise VerificationError(
                f"artifacts at {redact(artifact_uri)}: they are on another server than {redact(tracking_uri)}, "
                "which is not asked: it would be sent the tracking server's password"
            )
        base, service, root = url.partition(self._SERVICE)
        if not service:
            raise VerificationError(f"artifacts at {redact(artifact_uri)}: this is not how MLflow's server names them")
        self._base, self._root = base, root.strip("/")

    def entries(self, folder: str) -> Iterator[Entry]:
        import json

        path = f"{self._root}/{folder}".strip("/")
        with self._get(self._SERVICE, folder, params={"path": path}) as response:
            body = b"".join(bounded(_stream(response), f"listing of {folder}", _MAX_LISTING_BYTES))
        try:
            for found in json.loads(body).get("files", []):
                size = found.get("file_size")
                path = f"{folder}/{found['path']}" if folder else str(found["path"])
                yield Entry(path, bool(found["is_dir"]), None if size is None else int(size))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise VerificationError(f"artifacts under {folder!r}: the server's listing of them is none") from error

    def save(self, path: str, target: Path, limit: int) -> None:
        with self._get(f"{self._SERVICE}/{self._root}/{path}", path) as response:
            _check_length(path, response.headers.get("Content-Length"), limit)
            write(_stream(response), path, target, limit)

    @contextmanager
    def _get(self, endpoint: str, what: str, **options: Any) -> Iterator[Any]:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        headers = {"Accept-Encoding": "identity"}  # what is sent is what is counted
        response: Any = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(self._base),  # type: ignore[no-untyped-call]
            endpoint,
            "GET",
            extra_headers=headers,
            stream=True,
            allow_redirects=False,
            hooks={"response": _stay},
            **options,
        )
        with response:
            if HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST:
                raise VerificationError(f"artifact {what!r}: the server sends us elsewhere for it, which is refused")
            if response.status_code == HTTPStatus.NOT_FOUND:
                raise _missing(what)
            if response.status_code != HTTPStatus.OK:  # its body is not read: it could be endless
                raise TrackingError(f"artifact {what!r}: the server answered {response.status_code}")
            yield response


class S3Reader:
    """Artifacts in S3 or what speaks like it; MLflow's settings for it (endpoint, TLS, addressing) hold."""

    def __init__(self, artifact_uri: str) -> None:
        from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

        place = urlparse(artifact_uri)
        self._bucket, self._root = place.netloc, place.path.strip("/")
        self._s3: Any = S3ArtifactRepository(artifact_uri)._get_s3_client()  # type: ignore[no-untyped-call]

    def entries(self, folder: str) -> Iterator[Entry]:
        prefix = f"{self._root}/{folder}".strip("/") + "/"
        start = len(self._root) + 1 if self._root else 0
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            for found in page.get("CommonPrefixes", []):
                yield Entry(str(found["Prefix"])[start:].rstrip("/"), True, None)
            for found in page.get("Contents", []):
                if found["Key"] != prefix:  # some consoles keep an empty object for the folder itself
                    yield Entry(str(found["Key"])[start:], False, int(found["Size"]))

    def save(self, path: str, target: Path, limit: int) -> None:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._root}/{path}".strip("/"))
        except self._s3.exceptions.NoSuchKey as error:
            raise _missing(path) from error
        _check_length(path, answer.get("ContentLength"), limit)
        with closing(answer["Body"]) as body:
            write(body.iter_chunks(_CHUNK), path, target, limit)


class MlflowReader:
    """Artifacts that only MLflow knows how to read: bounded by what the store lists, and again once they are here."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run = client, run_id

    def entries(self, folder: str) -> Iterator[Entry]:
        for found in self._client.list_artifacts(self._run, folder or None):
            yield Entry(found.path, found.is_dir, found.file_size)

    def save(self, path: str, target: Path, limit: int) -> None:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as incoming:
            found = Path(self._client.download_artifacts(self._run, path, incoming))
            if (
                not found.resolve().is_relative_to(Path(incoming).resolve())
                or found.is_symlink()
                or not found.is_file()
            ):
                raise VerificationError(f"artifact {path!r}: the store sent something else than a file")
            _check_length(path, found.stat().st_size, limit)
            os.replace(found, target)


def write(chunks: Iterable[bytes], path: str, target: Path, limit: int) -> None:
    """At most `limit` bytes to the new file `target`, on disk when this returns."""
    with target.open("xb") as file:
        for chunk in bounded(chunks, path, limit):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def bounded(chunks: Iterable[bytes], what: str, limit: int) -> Iterator[bytes]:
    """The chunks; VerificationError instead of the one that would be too much."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise VerificationError(f"artifact {what!r}: the store sends more than the {limit} bytes it may have")
        yield chunk


def _stay(response: Any, **_: Any) -> None:
    """Requests reads the body of a redirect, endless or not, even where it is not to follow it."""
    response.headers.pop("location", None)


def _stream(response: Any) -> Iterator[bytes]:
    """The body as it comes over the wire; a body that breaks off raises."""
    chunks: Iterator[bytes] = response.raw.stream(_CHUNK, decode_content=False)
    return chunks


def _check_length(path: str, told: str | int | None, limit: int) -> None:
    if told is not None and str(told).isdecimal() and int(told) > limit:
        raise VerificationError(f"artifact {path!r}: has {told} bytes, more than the {limit} it may have")


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlparse(url)
    return parts.scheme, parts.hostname, parts.port


def _link(path: Path) -> VerificationError:
    return VerificationError(f"{path}: links and devices are refused; the store may have been tampered with")


def _missing(path: str) -> VerificationError:
    return VerificationError(f"artifact {path!r}: is missing from the store")
