"""Opens the tracking store, and turns its failures into a TrackingError with the cause and the fix."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlparse

from letheon.common.redaction import redact
from letheon.tracking.store.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    Client = MlflowClient  # for annotations elsewhere: only this package imports mlflow

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_STORES = {"sqlite3", "mlflow", "sqlalchemy", "requests", "urllib3", "botocore", "boto3", "s3transfer"}
_EXTRAS = {"psycopg": "postgres", "psycopg2": "postgres", "boto3": "s3", "botocore": "s3"}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # a server must not forward requests, and passwords, to another host
}

_SQLITE_SECONDS = 5.0
_HTTP_LIMITS = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
_set_here: dict[str, str] = {}  # the values that `set_http_limits` set


def tracking_uri(root: Path, uri: str | None = None) -> str:
    """`uri`, or MLFLOW_TRACKING_URI, or the embedded SQLite store in `root`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifact_location(root: Path, uri: str, study: str) -> str | None:
    """The artifact location of a new study: below MLFLOW_DEFAULT_ARTIFACT_ROOT, MLflow's own setting.

    Without it, None for a server, which decides itself, and a folder in `root` for a database. A path becomes
    absolute, so that it means the same from any working folder.
    """
    wanted = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT")
    if not wanted:
        return (root / "artifacts" / study).resolve().as_uri() if is_database(uri) else None
    if urlparse(wanted).scheme:
        return f"{wanted.rstrip('/')}/{quote(study)}"
    return (Path(wanted) / study).resolve().as_uri()


def is_database(uri: str) -> bool:
    """Whether the client talks to a database directly, and so must choose where artifacts go."""
    return uri.split(":", 1)[0].split("+", 1)[0] in _DATABASES


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def local_folder(artifact_uri: str) -> Path | None:
    """The folder of an artifact URI that is on a mounted file system; None for a remote one."""
    parts = urlparse(artifact_uri)
    if parts.scheme not in ("", "file") or parts.netloc:
        return None
    return Path(unquote(parts.path) if parts.scheme else artifact_uri)


def open_client(uri: str) -> MlflowClient:
    """A client for tracking and registry at `uri`. MLflow's prints and telemetry are off unless the user set them."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # takes 2 s, and few commands need it

    logging.getLogger("alembic").setLevel(logging.WARNING)
    # MLflow also raises what it logs here with a traceback; `tracking.json` has the cause in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def check_sqlite_file(uri: str) -> None:
    """Check that an SQLite store can be written, without the 2 s of importing MLflow. Does nothing for other stores.

    Raises sqlite3.Error or OSError.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    file = sqlite_file(uri)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=_SQLITE_SECONDS)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


def probe(uri: str) -> None:
    """Connect once, and raise what the connection raises; MLflow itself would retry a dead database for minutes."""
    if not is_database(uri):
        open_client(uri).search_experiments(max_results=1)
        return
    from mlflow.store.db.utils import create_sqlalchemy_engine  # the engine alone, without MLflow's retries

    file = sqlite_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    try:
        engine.connect().close()
    finally:
        engine.dispose()


@contextmanager
def http_limits(retries: int, seconds: int) -> Iterator[None]:
    """Limit MLflow's HTTP retries, and seconds per request, within the block; a user's own settings win.

    MLflow reads them from the environment, which must not change while another thread runs foreign code: C libraries
    read it without a lock. So use this in commands without other threads, and `set_http_limits` in a sweep.
    """
    before = {name: os.environ.get(name) for name in _HTTP_LIMITS}
    wanted = dict(zip(_HTTP_LIMITS, (str(retries), str(seconds)), strict=True))
    os.environ.update({name: value for name, value in wanted.items() if before[name] in (None, _set_here.get(name))})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def set_http_limits(retries: int, seconds: int) -> None:
    """Set the same limits for the rest of the process. A second call changes nothing."""
    for name, value in zip(_HTTP_LIMITS, (str(retries), str(seconds)), strict=True):
        if name not in os.environ:
            os.environ[name] = _set_here[name] = value


@contextmanager
def store_errors(uri: str, doing: str) -> Iterator[None]:
    """Turn a failure of the store within the block into a TrackingError with the URL, the cause and the fix."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        if not isinstance(error, OSError | ImportError) and not is_client_error(error):  # a bug of ours
            raise
        cause = redact(" ".join(_root_cause(error).split()))
        raise TrackingError(f"tracking store {redact(uri)}: {doing} failed: {cause}", _advice(error)) from error


def _advice(error: BaseException) -> str | None:
    """The fix for an error with one usual cause, else None."""
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and name in _EXTRAS:
        return f"install what this kind of store needs: pip install 'letheon[{_EXTRAS[name]}]'"
    code = getattr(error, "error_code", None)
    status = getattr(getattr(error, "response", None), "status_code", None)
    unauthorized = code == "UNAUTHENTICATED" or status == HTTPStatus.UNAUTHORIZED
    if not unauthorized and code != "PERMISSION_DENIED" and status != HTTPStatus.FORBIDDEN:
        return None
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user is None:
        return "the server requires a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if unauthorized:
        return f"user {user!r} was refused: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return f"user {user!r} may not do this here: ask the server's administrator for permission, or use another study"


def is_client_error(error: Exception) -> bool:
    """Whether a library that talks to a store raised it, rather than the disk."""
    return bool({kind.__module__.split(".", 1)[0] for kind in type(error).__mro__} & _STORES)


def _root_cause(error: BaseException, limit: int = 300) -> str:
    """The innermost message of a chain of exceptions, where 'connection refused' is found."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None or not str(inner):
            return f"{type(error).__name__}: {error}"[:limit]
        error = inner
