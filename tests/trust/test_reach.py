"""Who can reach what a sweep starts on this machine: every socket is looked at, every port is knocked at.

The session and its workers are real ones (`session_process`). This process has not their token.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from letheon.closed import TOKEN

ROOT = Path(__file__).resolve().parents[2]
WRONG = "0" * 64
# What a process of this name serves over HTTP: method, path. With the token it would run or show something.
HTTP = {
    "dashboard.py": (
        ("GET", "/api/jobs/"),
        ("POST", "/api/jobs/"),
        ("DELETE", "/api/jobs/x"),
        ("GET", "/api/v0/actors"),
        ("GET", "/nodes?view=summary"),
        ("GET", "/api/v0/logs"),
        ("GET", "/api/v0/tasks"),
    ),
    "ray::DashboardAgent": (
        ("POST", "/api/job_agent/jobs/"),
        ("POST", "/api/job_agent/jobs/x/stop"),
        ("DELETE", "/api/job_agent/jobs/x"),
        ("GET", "/api/job_agent/jobs/x/logs"),
    ),
    "ray::RuntimeEnvAgent": (("POST", "/get_or_create_runtime_env"), ("POST", "/delete_runtime_env_if_possible")),
}
# The same over gRPC, with an empty message.
GRPC = {
    "gcs_server": (
        "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
        "/ray.rpc.InternalKVGcsService/InternalKVGet",
        "/ray.rpc.JobInfoGcsService/AddJob",
        "/ray.rpc.ActorInfoGcsService/RegisterActor",
    ),
    "raylet": (
        "/ray.rpc.NodeManagerService/RequestWorkerLease",
        "/ray.rpc.NodeManagerService/ShutdownRaylet",
        "/ray.rpc.NodeManagerService/GetNodeStats",
        "/ray.rpc.ObjectManagerService/Pull",
    ),
    "ray::": ("/ray.rpc.CoreWorkerService/PushTask", "/ray.rpc.CoreWorkerService/KillActor"),
    "ray::DashboardAgent": ("/ray.rpc.ReporterService/GetTraceback", "/ray.rpc.ReporterService/CpuProfiling"),
}


@dataclass(frozen=True)
class Session:
    """`ray`: Ray's own folder; `token`: what its owner has."""

    ray: Path
    sockets: list[dict[str, Any]]
    token: str

    def ports(self, process: str) -> list[int]:
        """Where processes of this name listen."""
        return [one["port"] for one in self.sockets if process in one["process"]]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    place = tmp_path_factory.mktemp("session")
    command = [sys.executable, "-m", "tests.trust.session_process", str(place)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "GLOO_SOCKET_IFNAME": "eth0"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        folder = Path(told["folder"])
        yield Session(folder, told["sockets"], (folder.parent / TOKEN).read_text())
    finally:
        process.stdin.close()
        process.wait(60)


def test_every_socket_listens_on_the_loopback_interface(session: Session) -> None:
    names = " ".join(one["process"] for one in session.sockets)
    assert all(part in names for part in ("gcs_server", "raylet", "dashboard.py", "ray::RayTrainWorker", *HTTP))
    open_ones = [one for one in session.sockets if not is_loopback(one["address"])]
    assert open_ones == []


def is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def test_files_are_behind_a_closed_door(session: Session) -> None:
    door, token = session.ray.parent, session.ray.parent / TOKEN
    assert stat.S_IMODE(door.stat().st_mode) == 0o700 and door.stat().st_uid == os.getuid()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(session.token) == len(WRONG) and session.token not in " ".join(command_lines())


def command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def answer(port: int, method: str, path: str, token: str | None) -> int | None:
    """The status of an HTTP answer; None where no HTTP is spoken."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b"", headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):  # what answers is no HTTP
        return None


@pytest.mark.parametrize(
    ("process", "method", "path"), [(process, *one) for process, calls in HTTP.items() for one in calls]
)
def test_http_is_refused_without_the_token(session: Session, process: str, method: str, path: str) -> None:
    spoken = 0
    for port in session.ports(process):
        if answer(port, method, path, None) is None or answer(port, "GET", "/metrics", None) == 200:
            continue  # gRPC, or numbers for Prometheus
        spoken += 1
        assert answer(port, method, path, None) == 401
        assert answer(port, method, path, WRONG) == 403
        if method == "GET":
            assert answer(port, method, path, session.token) not in (401, 403, 405)
    assert spoken == 1


def code(port: int, call: str, token: str | None) -> grpc.StatusCode:
    """What a server says to an empty message. OK, if it takes it."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(call)(b"", metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            found: grpc.StatusCode = error.code()
            return found
    return grpc.StatusCode.OK


@pytest.mark.parametrize(("process", "call"), [(process, call) for process, calls in GRPC.items() for call in calls])
def test_grpc_is_refused_without_the_token(session: Session, process: str, call: str) -> None:
    unauthenticated, unimplemented = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED
    refused = []
    for port in session.ports(process):
        if answer(port, "GET", "/", None) is not None:
            continue  # HTTP
        first, second = code(port, call, None), code(port, call, WRONG)
        print(process, port, call, first, second)
        if unimplemented in (first, second):
            continue  # another service's port
        refused.append((first, second))
    assert refused
    assert set(refused) == {(unauthenticated, unauthenticated)}


def test_the_owner_of_the_token_is_let_in(session: Session) -> None:
    [port] = session.ports("gcs_server")
    assert code(port, "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", session.token) == grpc.StatusCode.OK
    statuses = [answer(port, "GET", "/api/jobs/", session.token) for port in session.ports("dashboard.py")]
    assert 200 in statuses


def test_numbers_for_prometheus_need_no_token(session: Session) -> None:
    """What docs/security.md says of them."""
    ports = [one["port"] for one in session.sockets if answer(one["port"], "GET", "/metrics", None) == 200]
    assert len(ports) >= 3
