"""Opens the tracking store and says plainly when it cannot be reached. Does not know sweeps, trials or fronts."""

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

    Client = MlflowClient  # for annotations elsewhere: mlflow is imported in this package only

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_STORES = {"sqlite3", "mlflow", "sqlalchemy", "requests", "urllib3", "botocore", "boto3", "s3transfer"}
_EXTRAS = {"psycopg": "postgres", "psycopg2": "postgres", "boto3": "s3", "botocore": "s3"}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a sweep tells nobody about itself
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # a server must not send us, and what we say, to another place
}


_TOUCH_SECONDS = 5.0
_PATIENCE = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
_lasting: dict[str, str] = {}  # what of them is ours


def tracking_uri(root: Path, uri: str | None = None) -> str:
    """`uri`, else MLFLOW_TRACKING_URI, else the embedded SQLite store of the root."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifact_location(root: Path, uri: str, study: str) -> str | None:
    """Where the artifacts of a new study go: below MLFLOW_DEFAULT_ARTIFACT_ROOT, MLflow's own setting for this.

    Without it a server decides (None), and a database has them in the root. A path becomes absolute, so that it means
    the same to whoever reads it.
    """
    wanted = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT")
    if not wanted:
        return (root / "artifacts" / study).resolve().as_uri() if is_database(uri) else None
    if urlparse(wanted).scheme:
        return f"{wanted.rstrip('/')}/{quote(study)}"
    return (Path(wanted) / study).resolve().as_uri()


def is_database(uri: str) -> bool:
    """Whether the client talks to a database itself, and so must be told where artifacts go."""
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
    """A client for tracking and registry at `uri`, with MLflow's prints and telemetry off unless the user set them."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # imported late: 2 s, and only the driver and `pull` need it

    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It raises what it logs with its traceback; the cause is in `tracking.json` in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def touch(uri: str) -> None:
    """Whether an SQLite store can be written, without MLflow, whose import takes longer than a second.

    Raises sqlite3.Error or OSError. Of any other store nothing is asked.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    file = sqlite_file(uri)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=_TOUCH_SECONDS)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


def probe(uri: str) -> None:
    """Connect once. Raises what the connection raised; MLflow itself would try a dead database for minutes."""
    if is_database(uri):
        from mlflow.store.db.utils import create_sqlalchemy_engine  # the engine alone, without MLflow's retries

        file = sqlite_file(uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    else:
        open_client(uri).search_experiments(max_results=1)


@contextmanager
def patience(retries: int, seconds: int) -> Iterator[None]:
    """MLflow's HTTP retries and timeout (seconds a request) within the block; a user's own settings win.

    MLflow has no other way than the environment, which must not change while another thread runs foreign code: C
    libraries read it without a lock. So this is for commands without other threads, `lasting_patience` for a sweep.
    """
    before = {name: os.environ.get(name) for name in _PATIENCE}
    wanted = dict(zip(_PATIENCE, (str(retries), str(seconds)), strict=True))
    os.environ.update({name: value for name, value in wanted.items() if before[name] in (None, _lasting.get(name))})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def lasting_patience(retries: int, seconds: int) -> None:
    """The same from now on. Called again it changes nothing."""
    for name, value in zip(_PATIENCE, (str(retries), str(seconds)), strict=True):
        if name not in os.environ:
            os.environ[name] = _lasting[name] = value


@contextmanager
def explained(uri: str, doing: str) -> Iterator[None]:
    """Any failure of the store inside the block becomes a TrackingError with the URL and the cause."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        if not _is_of_the_store(error):
            raise
        cause = redact(" ".join(_root_cause(error).split()))
        raise TrackingError(f"tracking store {redact(uri)}: {doing} failed: {cause}", _advice(error)) from error


def _advice(error: BaseException) -> str | None:
    """What to do about an error that has one usual cause."""
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and name in _EXTRAS:
        return f"install what this kind of store needs: pip install 'letheon[{_EXTRAS[name]}]'"
    unknown, forbidden = _refusal(error)
    if not unknown and not forbidden:
        return None
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user is None:
        return "the server wants to know who asks: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if unknown:
        return f"user {user!r} was refused: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return f"user {user!r} may not do this here: ask who runs the server for the permission, or choose another study"


def _refusal(error: BaseException) -> tuple[bool, bool]:
    """Whether the server does not know who asks, and whether it knows and forbids it."""
    code = getattr(error, "error_code", None)
    status = getattr(getattr(error, "response", None), "status_code", None)
    return (
        code == "UNAUTHENTICATED" or status == HTTPStatus.UNAUTHORIZED,
        code == "PERMISSION_DENIED" or status == HTTPStatus.FORBIDDEN,
    )


def _is_of_the_store(error: Exception) -> bool:
    """MLflow, SQLAlchemy, requests and operating-system errors; anything else is a fault of ours and stays as it is."""
    return isinstance(error, OSError | ImportError) or of_a_client(error)


def of_a_client(error: Exception) -> bool:
    """Whether a library that talks to a store raised it; the disk's own errors are not among these."""
    return bool({kind.__module__.split(".", 1)[0] for kind in type(error).__mro__} & _STORES)


def _root_cause(error: BaseException, limit: int = 300) -> str:
    """The innermost message of a chain, which is where 'connection refused' is found."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None or not str(inner):
            return f"{type(error).__name__}: {error}"[:limit]
        error = inner
