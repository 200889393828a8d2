"""The doctor's checks of this machine and of a tracking store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from letheon.doctor.machine import check_root, check_secrets
from letheon.doctor.probe import Probe
from letheon.doctor.tracking_store import round_trip


def test_a_missing_root_is_created_and_found_writable(tmp_path: Path) -> None:
    found = check_root(tmp_path / "new" / "root")
    assert found.state in ("ok", "warning") and "is writable" in found.found
    assert list((tmp_path / "new" / "root").iterdir()) == []


def test_a_root_that_is_a_file_fails_and_one_that_every_user_can_write_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_root(tmp_path / "file").state == "failed"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert check_root(tmp_path / "open").state == "warning"


def test_secrets_that_other_users_can_read_fail(tmp_path: Path) -> None:
    for name, mode in (("good", 0o600), ("bad", 0o640)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    found = list(check_secrets([tmp_path / "good", tmp_path / "bad", tmp_path / "absent", tmp_path / "bad"]))
    assert [one.state for one in found] == ["ok", "failed"]
    assert found[1].fix == f"chmod 600 {tmp_path / 'bad'}"


def test_the_tracking_store_is_written_read_and_left_empty(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    assert round_trip(tmp_path).state == "ok"
    assert round_trip(tmp_path).state == "ok"
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert "letheon-doctor" not in [experiment.name for experiment in client.search_experiments()]
    experiment = client.get_experiment_by_name("letheon-doctor")
    assert experiment is not None and client.search_runs([experiment.experiment_id]) == []
    assert not list(tmp_path.glob("artifacts/*"))


def test_a_store_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    found = round_trip(tmp_path, "http://me:hunter2@127.0.0.1:9")
    assert found.state == "failed" and "127.0.0.1:9" in found.found and "hunter2" not in found.found + found.fix


def test_a_probe_finds_versions_ports_and_addresses(tmp_path: Path) -> None:
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 0))"
    code += "; print(s.getsockname()[1], flush=True); time.sleep(99)"
    (tmp_path / "mlflow").write_text(code)
    server = subprocess.Popen([sys.executable, str(tmp_path / "mlflow")], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        facts = Probe().facts()
        assert facts["host"] == socket.gethostname() and facts["versions"]["ray"]
        assert ("127.0.0.1", port) in [(address, number) for address, number, _ in facts["ports"]]
        assert "127.0.0.1" in facts["addresses"]
    finally:
        server.kill()


def test_a_probe_writes_reads_and_reports_problems(tmp_path: Path) -> None:
    probe = Probe()
    assert probe.write(str(tmp_path), "file", "text") is None
    assert probe.read(str(tmp_path), "file", 1.0) == "text"
    assert probe.write(str(tmp_path / "absent"), "file", "text") is not None
    started = time.monotonic()
    assert probe.read(str(tmp_path / "absent"), "file", 0.3) is None
    assert time.monotonic() - started >= 0.3


@pytest.mark.skipif(os.getuid() == 0, reason="the user root can write everywhere")
def test_a_read_only_root_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert check_root(tmp_path).state == "failed"
