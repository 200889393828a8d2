"""`pull` from a real server that lies.

Whatever it does, nothing reaches the target or any other path, no password goes to another host, and the pull ends with
an error that says what is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from letheon.checkpoints.manifest import VerificationError, read_manifest, verify
from letheon.common.errors import LetheonError
from letheon.tracking.reader.pull import Request, pull
from letheon.tracking.store.errors import SweepNotFoundError, TrackingError
from tests.letheon.small_sweep import command, run, wait_for
from tests.letheon.tracking.store import lying_server
from tests.letheon.tracking.tracking_support import save_and_register

POINT = Request("t002@1")


class Server:
    """The lying server with a finished sweep in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tell("none")
        log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, lying_server.__file__, str(folder)], stdout=log, stderr=log, cwd=folder
        )
        end = time.monotonic() + 120
        while not (folder / "port").exists():
            assert self._process.poll() is None and time.monotonic() < end, (folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        self.uri = f"http://127.0.0.1:{(folder / 'port').read_text()}"

    def tell(self, *lie: object) -> None:
        (self.folder / "new").write_text(json.dumps(lie))
        os.replace(self.folder / "new", self.folder / "lie")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    one = Server(folder)
    try:
        save_and_register(folder, one.uri)
        yield one
    finally:
        one.stop()


@pytest.fixture(autouse=True)
def honest_afterwards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").tell("none")


def refused(server: Server, tmp_path: Path, *lie: object) -> LetheonError:
    """The error that the lie causes, after which the disk holds next to nothing."""
    server.tell(*lie)
    with pytest.raises(LetheonError) as caught:
        pull("sweep", tmp_path / "out" / "model", tmp_path, POINT, server.uri)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**20
    return caught.value


def test_the_server_is_honest_without_a_lie(server: Server, tmp_path: Path) -> None:
    pulled = pull("sweep", tmp_path / "model", tmp_path, POINT, server.uri)
    verify(pulled.path, read_manifest(pulled.path / "manifest.json"))
    assert os.listdir(tmp_path) == ["model"]


CONTENT = ("short", "changed", "longer", "endless", "bomb", "gone", "html", "manifest-endless", "manifest-short")


@pytest.mark.parametrize("lie", [*lying_server.LISTINGS, "no-json", "abyss", "flood", *CONTENT])
def test_a_server_that_lies_in_listings_or_sends_other_content(server: Server, tmp_path: Path, lie: str) -> None:
    assert isinstance(refused(server, tmp_path, lie), VerificationError)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("lie", ["redirect", "redirect-308", "manifest-redirect"])
def test_a_server_that_redirects(server: Server, tmp_path: Path, lie: str) -> None:
    with Thief() as thief:
        error = refused(server, tmp_path, lie, f"http://127.0.0.1:{thief.port}/latest/meta-data")
        assert isinstance(error, VerificationError) and "refused to follow" in str(error)
        assert not thief.visited()


def test_a_broken_download_is_retried_and_then_kept(server: Server, tmp_path: Path) -> None:
    error = refused(server, tmp_path, "breaks")
    assert isinstance(error, TrackingError)
    assert os.listdir(tmp_path / "out") == [".model.partial"]
    server.tell("breaks-once")
    pull("sweep", tmp_path / "out" / "model", tmp_path, POINT, server.uri)
    assert os.listdir(tmp_path / "out") == ["model"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_command_continues_where_it_was(server: Server, tmp_path: Path, how: signal.Signals) -> None:
    server.tell("stalls")
    arguments = ("pull", "sweep", "--select", "t002@1", "--tracking-uri", server.uri, "--to", "model")
    with subprocess.Popen(command(*arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        wait_for(lambda: any(tmp_path.glob(".model.partial/*/.incoming.*")), first)
        first.send_signal(how)
        _, complaint = first.communicate(timeout=60)
    assert os.listdir(tmp_path) == [".model.partial"]
    assert first.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert (
        how == signal.SIGKILL or "kept in .model.partial; the same command continues from there" in complaint.decode()
    )
    server.tell("none")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and "AutoModelForCausalLM.from_pretrained('model')" in done.stdout
    assert os.listdir(tmp_path) == ["model"]


def test_the_body_of_an_unknown_error_is_not_read(server: Server, tmp_path: Path) -> None:
    error = refused(server, tmp_path, "teapot")
    assert isinstance(error, TrackingError) and "the server answered 418" in str(error)


class Thief:
    """Listens on a port, and records whether anything connects."""

    def __enter__(self) -> Thief:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def visited(self) -> bool:
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.mark.parametrize("scheme", ["mlflow-artifacts", "http", "https", "ftp", "sftp", "abfss", "hdfs", "r2"])
def test_no_password_goes_to_a_host_that_the_server_names(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    with Thief() as thief:
        uri = f"{scheme}://me@127.0.0.1:{thief.port}/api/2.0/mlflow-artifacts/artifacts/1"
        error = refused(server, tmp_path, "elsewhere", uri)
        assert isinstance(error, VerificationError) and "hunter2" not in str(error) and "me@" not in str(error)
        assert not thief.visited()


@pytest.mark.parametrize("place", ["../..", ".", "file:x", "models:/study/1", "runs:/x/y", "", "s3n://x"])
def test_a_server_that_points_at_an_unreadable_location(server: Server, tmp_path: Path, place: str) -> None:
    error = refused(server, tmp_path, "elsewhere", place)
    assert isinstance(error, VerificationError) and "must be an absolute folder" in str(error)


@pytest.mark.parametrize("place", ["/etc", "file:///etc", "/"])
def test_a_server_that_points_at_files_of_this_machine(server: Server, tmp_path: Path, place: str) -> None:
    """They are read as any shared folder would be, and hold no front."""
    assert isinstance(refused(server, tmp_path, "elsewhere", place), VerificationError | SweepNotFoundError)
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []
