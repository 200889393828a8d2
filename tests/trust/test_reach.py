"""Who can reach the processes that a sweep starts on this machine: every socket is checked, every port is called.

The session and its workers are real (`session_process`). This process does not have their token.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from letheon.cluster.security import TOKEN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WRONG = "0" * 64
SILENCE_SECONDS = 3.0
AGENT_PORT = 52365
"""Port of the agent's HTTP server, which Ray does not let a local session choose."""
# HTTP calls by process: method, path. With the token they would run or show something.
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
# The same for gRPC, called with an empty message.
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
    """`ray`: Ray's own folder; `token`: the owner's; `protocols`: port -> protocol, as `protocol_of` names it."""

    ray: Path
    sockets: list[dict[str, Any]]
    token: str
    protocols: dict[int, str]

    def ports(self, process: str, protocol: str) -> list[int]:
        """Ports with this protocol of processes of this name."""
        ports = [one["port"] for one in self.sockets if process in one["process"]]
        return [port for port in ports if self.protocols[port] == protocol]


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
        line = json.loads(process.stdout.readline())
        folder, sockets = Path(line["folder"]), line["sockets"]
        protocols = {one["port"]: protocol_of(one["port"]) for one in sockets}
        yield Session(folder, sockets, (folder.parent / TOKEN).read_text(), protocols)
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


def test_files_are_in_a_private_folder(session: Session) -> None:
    folder, token = session.ray.parent, session.ray.parent / TOKEN
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and folder.stat().st_uid == os.getuid()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(session.token) == len(WRONG) and session.token not in " ".join(command_lines())


def command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def protocol_of(port: int) -> str:
    """`http`, `prometheus` (metrics over HTTP), `grpc`, or `other` for a port that does not answer the request."""
    reply = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.settimeout(SILENCE_SECONDS)
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        reply = line.recv(64)
    if reply.startswith(b"HTTP/"):
        return "prometheus" if answer(port, "GET", "/metrics", None) == 200 else "http"
    # A SETTINGS frame of HTTP/2.
    return "grpc" if reply[3:4] == b"\x04" else "other"


def answer(port: int, method: str, path: str, token: str | None) -> int:
    """The status of an HTTP answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b"", headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("process", "method", "path"), [(process, *one) for process, calls in HTTP.items() for one in calls]
)
def test_http_is_refused_without_the_token(session: Session, process: str, method: str, path: str) -> None:
    ports = session.ports(process, "http")
    if process == "ray::DashboardAgent" and not ports and protocol_of(AGENT_PORT) != "other":
        pytest.skip(f"another Ray of this machine has port {AGENT_PORT}, so this one's agent serves no HTTP")
    [port] = ports
    assert answer(port, method, path, None) == 401
    assert answer(port, method, path, WRONG) == 403
    if method == "GET":
        assert answer(port, method, path, session.token) not in (401, 403, 405)


def code(port: int, call: str, token: str | None) -> grpc.StatusCode:
    """The status of a call with an empty message; OK if the server accepts it."""
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
    codes = {(code(port, call, None), code(port, call, WRONG)) for port in session.ports(process, "grpc")}
    # Ports of other services do not implement the call, which is not a refusal; at least one must refuse.
    assert codes - {(unimplemented, unimplemented)} == {(unauthenticated, unauthenticated)}


def test_the_owner_of_the_token_has_access(session: Session) -> None:
    [port] = session.ports("gcs_server", "grpc")
    assert code(port, "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", session.token) == grpc.StatusCode.OK
    [port] = session.ports("dashboard.py", "http")
    assert answer(port, "GET", "/api/jobs/", session.token) == 200


def test_only_metrics_and_gloo_listen_without_a_token(session: Session) -> None:
    """Prometheus needs no token; gloo, between workers, has none. Both are documented."""
    metrics = [one for one in session.sockets if session.protocols[one["port"]] == "prometheus"]
    others = [one for one in session.sockets if session.protocols[one["port"]] == "other"]
    assert metrics  # not all of them: another Ray on this machine may have some ports
    assert [one["process"] for one in others if "ray::RayTrainWorker" not in one["process"]] == []
