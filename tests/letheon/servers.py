"""Real servers for tests of stores: MLflow, PostgreSQL and S3, each on a free port, stopped when its test ends."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class MlflowServer:
    """`mlflow server` with SQLite, artifacts and its log in `folder`, which stay when it stops.

    `elsewhere`: variables in `env` name the stores instead, since a database's address has a password.
    """

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None, elsewhere: bool = False) -> None:
        self.folder, self.port, self._env = folder, free_port(), env or {}
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--workers", "1", *options]
        if not elsewhere:
            self._command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
            self._command += ["--artifacts-destination", str(folder / "artifacts")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment = {**os.environ, **quiet, **self._env}
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(self._command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self._process, end = process, time.monotonic() + 180
        while not _answers(f"{self.uri}/health"):
            output = (self.folder / "server.log").read_text()[-2000:]
            assert process.poll() is None and time.monotonic() < end, output
            time.sleep(0.3)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None


@contextmanager
def mlflow_server(
    folder: Path, *options: str, env: dict[str, str] | None = None, elsewhere: bool = False
) -> Iterator[MlflowServer]:
    server = MlflowServer(folder, *options, env=env, elsewhere=elsewhere)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        urlopen(url, timeout=2).close()
    except (URLError, OSError):
        return False
    return True


@contextmanager
def s3_server(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server with an empty bucket; sets the variables of this process for it."""
    pytest.importorskip("boto3", reason="boto3 is missing: pip install 'letheon[s3]'")
    moto = pytest.importorskip("moto.server", reason="moto, an S3 server for tests, is missing")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST"), timeout=10).close()  # shared by all
        s3_client().create_bucket(Bucket=bucket)
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client() -> Any:
    """A client for the server that the environment names."""
    import boto3

    return boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])


@contextmanager
def postgres(password: str) -> Iterator[str]:
    """The address, without the password, of a database `mlflow` of user `letheon`, who needs the password."""
    programs = _postgres_programs()
    pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'letheon[postgres]'")
    folder = Path(tempfile.mkdtemp(prefix="letheon-pg-"))  # pytest's own is private and too long for a socket's path
    port = free_port()
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        (folder / "password").write_text(password)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        data = str(folder / "data")
        _as_postgres(programs / "initdb", "-D", data, "-U", "letheon", "-A", "scram-sha-256", "--no-sync", "--pwfile",
                     str(folder / "password"))  # fmt: skip
        _as_postgres(programs / "pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            _make_database(port, password)
            yield f"postgresql://letheon@127.0.0.1:{port}/mlflow"
        finally:
            _as_postgres(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server is missing (Debian: apt install postgresql)")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root and needs a user postgres, who is missing")
    return found[-1].parent


def _as_postgres(*command: str | Path) -> None:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *map(str, command)], cwd="/", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _make_database(port: int, password: str) -> None:
    import psycopg

    place = f"host=127.0.0.1 port={port} user=letheon dbname=postgres"
    with psycopg.connect(place, password=password, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mlflow")
