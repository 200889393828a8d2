"""A sweep as a job of a real cluster: nodes join and die, the job is stopped and resumed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray

from letheon.cluster.jobs import PRINT_ANSWER, Jobs, RemoteTimeout, parse_answer, sweep_job
from letheon.common.errors import SpecErrors
from letheon.journal import Journal
from tests.letheon.cluster_process import Nodes, nodes
from tests.letheon.servers import free_port
from tests.letheon.small_sweep import run, wait_for, write_space
from tests.letheon.tracking.tracking_support import recorded_trials

ROOT = Path(__file__).parents[3]
TRIALS, EPOCHS = 8, 4


def test_the_answer_is_found_wherever_ray_writes_its_own_lines() -> None:
    marker, text = "0123456789abcdef", "a line\nanother\n"
    answer = f"{marker} 4 {base64.b64encode(text.encode()).decode()}\n"
    command = "Running entrypoint for job x: " + PRINT_ANSWER.format(marker[:8], marker[8:]) + "\n"
    for log in (command + answer, answer + command, f"INFO y\n{command}INFO z\n{answer}"):
        assert parse_answer(log, marker) == (4, text)
    with pytest.raises(RemoteTimeout, match="cut off"):
        parse_answer(command, marker)


def test_bash_prints_the_marker_the_code_and_the_output() -> None:
    script = f"out=$(printf 'a\\nb'; exit 3); code=$?; {PRINT_ANSWER.format('abc', 'def')}"
    log = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert parse_answer(log, "abcdef") == (3, "a\nb\n")


def test_the_sweep_file_arrives_unchanged_and_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "letheon").write_text('#!/bin/sh\necho "$@"; cat "$2"; cat "$2"\n')
    (tmp_path / "letheon").chmod(0o755)
    (tmp_path / "temporary").mkdir()
    text = 'name: it\'s\nnote: "$HOME" `id` \\ ü\n'
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "temporary")}
    job = sweep_job(text, "small", "/srv/a b")
    printed = subprocess.run(["sh", "-c", job], env=environment, capture_output=True, text=True, check=True).stdout
    assert printed == f"sweep /dev/fd/9 --name small --address auto --root /srv/a b\n{text}{text}"
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(SpecErrors, match="too long"):
        sweep_job(os.urandom(200_000).hex(), "small", None)


def test_plug_ins_arrive_unchanged_where_the_driver_looks_for_them(tmp_path: Path) -> None:
    (tmp_path / "letheon").write_text('#!/bin/sh\ncd "$LETHEON_SENT_PLUGINS" && cat "plugins/it\'s.py" plugins/b.py\n')
    (tmp_path / "letheon").chmod(0o755)
    files = {"plugins/it's.py": 'x = "$HOME" # `id` ü\n', "plugins/b.py": "y = 1\n"}
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    job = sweep_job("name: x\n", "small", None, files)
    printed = subprocess.run(["sh", "-c", job], env=environment, capture_output=True, text=True, check=True).stdout
    assert printed == "".join(files.values())
    with pytest.raises(SpecErrors, match="with 1 plug-ins is too long"):
        sweep_job("name: x\n", "small", None, {"a.py": os.urandom(200_000).hex()})


def test_an_unreachable_job_server_is_reported_with_a_fix() -> None:
    with pytest.raises(ConnectionError, match="is the cluster's job server forwarded"):
        Jobs("http://127.0.0.1:9")


@pytest.fixture
def fake_server() -> Iterator[tuple[str, list[str | None]]]:
    """The address of a fake job server, and the authorization header of each request to it."""
    seen: list[str | None] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"version": "4", "ray_version": ray.__version__}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["home", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN", None])
def test_a_token_is_sent_from_wherever_it_is(
    fake_server: tuple[str, list[str | None]], tmp_path: Path, place: str | None
) -> None:
    address, seen = fake_server
    file, token = tmp_path / ".ray" / "auth_token", "c" * 64
    file.parent.mkdir()
    (file if place == "home" else tmp_path / "token").write_text(token)
    variables = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), "RAY_AUTH_TOKEN": token}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    environment |= {"HOME": str(tmp_path), **{name: value for name, value in variables.items() if name == place}}
    code = "import sys; from letheon.cli import app; app(['status', 'x', '--address', sys.argv[1]])"
    subprocess.run([sys.executable, "-c", code, address], env=environment, check=False, cwd=ROOT / "platform")
    assert set(seen) == {f"Bearer {token}" if place else None}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with nodes(tmp_path_factory.mktemp("cluster"), free_port()) as running:
        yield running


def letheon(cluster: Nodes, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run(*arguments, "--address", cluster.server, env=cluster.environment)


def rows(root: Path) -> list[dict[str, Any]]:
    journal = root / "sweeps" / "small" / "journal.jsonl"
    return [dict(row) for row in Journal.read(journal)] if journal.exists() else []


def count(root: Path, kind: str) -> int:
    return sum(row["kind"] == kind for row in rows(root))


def running(root: Path) -> int:
    return count(root, "trial") - count(root, "end")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("token", ["", "0" * 64])
def test_without_the_clusters_token_commands_are_refused(cluster: Nodes, tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    stranger = replace(cluster, environment={**cluster.environment, "RAY_AUTH_TOKEN_PATH": str(file)})
    for verb in (("submit", write_space(tmp_path), "--root", tmp_path / "root", "--no-wait"), ("stop", "small")):
        done = letheon(stranger, *verb)
        assert done.returncode != 0 and "submitted" not in done.stdout and "Traceback" not in done.stderr, done.stderr
    assert letheon(cluster, "stop", "small").returncode != 0, "there is no such job"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_submitted_sweep_survives_its_nodes_and_its_submitter(cluster: Nodes, tmp_path: Path) -> None:
    space, root = write_space(tmp_path), tmp_path / "root"
    begin = ("submit", space, "--root", root, "--no-wait", "--set", f"budget.trials={TRIALS}")
    first = letheon(cluster, *begin)
    assert first.returncode == 0 and "submitted   small" in first.stdout, first.stderr
    assert "runs as job 'small'" in letheon(cluster, *begin).stderr

    wait_for(lambda: count(root, "report") > 0)
    assert running(root) == 1, "one node, one CPU, one trial"
    cluster.send("add")
    wait_for(lambda: running(root) == 2)  # one on the node that joined
    reports = count(root, "report")
    wait_for(lambda: count(root, "report") > reports + 2)
    cluster.send("kill")
    ends = count(root, "end")
    wait_for(lambda: count(root, "end") > ends)  # without the node

    stopped = letheon(cluster, "stop", "small")
    assert "STOPPED" in stopped.stdout, stopped.stderr
    assert rows(root)[-1]["state"] == "interrupted", "the driver had no time to record it"
    status = json.loads(letheon(cluster, "status", "small", "--json", "--root", root).stdout)
    assert status["state"] == "interrupted"

    again = letheon(cluster, "submit", "small", "--resume", "--root", root)
    assert again.returncode == 0 and "submitted   small.2" in again.stdout, again.stdout[-2000:]
    everything = rows(root)
    assert everything[-1]["state"] == "finished"
    assert Counter(row["trial"] for row in everything if row["kind"] == "end") == {
        f"t{i:03d}": 1 for i in range(TRIALS)
    }
    epochs = Counter((row["trial"], row["epoch"]) for row in everything if row["kind"] == "report")
    assert set(epochs.values()) == {1}
    assert len(recorded_trials(f"sqlite:///{root / 'mlflow.db'}", "small")) == TRIALS
    explained = letheon(cluster, "explain", "small", "t000", "--root", root)
    assert explained.returncode == 0 and "t000:" in explained.stdout
