"""The files that start clusters: their tools accept them, the files that they name exist, secrets are private."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import ray
import yaml
from jsonschema import validate

from letheon.cluster.capacity import potential_nodes, slots_that_fit
from tests.letheon.servers import free_port
from trainables.config import WorkersConfig

ROOT = Path(__file__).parents[2]
NODE = ROOT / "deploy" / "node"
CLUSTERS = ("cluster.yaml", "deploy/on-premises.yaml")
SCRIPTS = sorted([*NODE.glob("*.sh"), *(ROOT / "deploy" / "slurm").glob("*.sh")])
GPU = WorkersConfig(gpus_per_worker=1, cpus_per_worker=4)


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_a_cluster_file_which_runs_files_of_this_checkout(name: str) -> None:
    text = (ROOT / name).read_text()
    config: dict[str, Any] = yaml.safe_load(text)
    validate(config, json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text()))
    commands = [command for key in config if key.endswith("_commands") for command in config[key]]
    named = re.findall(r"~/letheon/(deploy/\S+\.sh)", "\n".join(commands))
    assert named and all((ROOT / one).is_file() for one in named)
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("environment.sh" in command for command in starts), "a command without Ray's token"
    assert "0.0.0.0" not in text and "ray-client" not in text
    if "available_node_types" in config:
        assert slots_that_fit(potential_nodes(config, GPU), GPU) == config["max_workers"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_bash_parses_the_script(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False).returncode == 0


def settings_of_head(home: Path, port: int) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "LETHEON_ROOT": str(home / "root"), "LETHEON_TRACKING_PORT": str(port)}


def make_secrets(home: Path, port: int = 5000) -> str:
    """The script's output."""
    command, environment = ["bash", str(NODE / "head.sh"), "secrets"], settings_of_head(home, port)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout + done.stderr


def settings_in(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_the_head_creates_private_secrets_once_and_passes_them_to_jobs(tmp_path: Path) -> None:
    output = make_secrets(tmp_path, port=5123)
    files = sorted((tmp_path / ".config" / "letheon").iterdir())
    assert [file.name for file in files] == ["auth.ini", "server.env", "tracking.env"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    before = [file.read_text() for file in files]
    password = settings_in(files[2])["MLFLOW_TRACKING_PASSWORD"]
    assert len(password) > 20 and password not in output
    make_secrets(tmp_path, port=5123)
    assert [file.read_text() for file in files] == before
    source = ["bash", "-c", f"source {NODE / 'environment.sh'} && env"]
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    job = subprocess.run(source, env=environment, capture_output=True, text=True, check=True).stdout
    assert "MLFLOW_TRACKING_URI=http://localhost:5123" in job and f"MLFLOW_TRACKING_PASSWORD={password}" in job
    assert "RAY_AUTH_MODE=token" in job and f"PATH={tmp_path}/letheon/.venv/bin:" in job


def test_the_rayjob_starts_a_sweep_or_resumes_it(tmp_path: Path) -> None:
    job, nodes = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "rayjob.yaml").read_text())
    (tmp_path / "letheon").write_text("#!/bin/sh\necho $@\n")
    (tmp_path / "letheon").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LETHEON_ROOT": str(tmp_path)}

    def runs() -> str:
        entry = ["sh", "-c", job["spec"]["entrypoint"]]
        return subprocess.run(entry, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert runs() == "sweep /etc/letheon/sweep.yaml --name my-sweep --address auto"
    (tmp_path / "sweeps" / "my-sweep").mkdir(parents=True)
    (tmp_path / "sweeps" / "my-sweep" / "spec.yaml").touch()
    assert runs() == "resume my-sweep --address auto"
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    promised = potential_nodes(yaml.safe_load(nodes["data"]["nodes.yaml"]), GPU)
    assert len(promised) == group["maxReplicas"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert promised[0] == {"CPU": int(limits["cpu"]), "GPU": int(limits["nvidia.com/gpu"])}


@pytest.mark.slow
def test_the_heads_tracking_server_requires_the_password(tmp_path: Path) -> None:
    from letheon.doctor.tracking_store import round_trip

    port = free_port()
    make_secrets(tmp_path, port)
    (tmp_path / "root").mkdir()
    (tmp_path / "letheon").symlink_to(ROOT)
    command, environment = ["bash", str(NODE / "head.sh"), "run"], settings_of_head(tmp_path, port)
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        assert wait_for_status(f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1") == 401
        secret = settings_in(tmp_path / ".config" / "letheon" / "tracking.env")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in secret.items():
                patch.setenv(name, value)
            assert round_trip(tmp_path / "elsewhere").state == "ok"
            patch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
            assert round_trip(tmp_path / "elsewhere").state == "failed"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def wait_for_status(address: str) -> int:
    end = time.monotonic() + 120
    while True:
        try:
            with urlopen(Request(address), timeout=5) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
