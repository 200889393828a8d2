"""The files that start clusters, read by the tools that read them in earnest, as far as that goes without a cloud."""

from __future__ import annotations

import copy
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
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from letheon.capacity import nodes_that_may_be, slots_that_fit
from trainables.config import WorkersConfig

ROOT = Path(__file__).parents[2]
NODE = ROOT / "deploy" / "node"
CLUSTERS = ("cluster.yaml", "deploy/on-premises.yaml")
SCRIPTS = sorted([*NODE.glob("*.sh"), *(ROOT / "deploy" / "slurm").glob("*.sh")])
GPU = WorkersConfig(gpus_per_worker=1, cpus_per_worker=4)


def cluster(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_the_file(name: str) -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    validate(cluster(name), schema)
    validate_config(prepare_config(copy.deepcopy(cluster(name))))


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_request_needs_the_token_and_nothing_is_public(name: str) -> None:
    config = cluster(name)
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("environment.sh" in command for command in starts)
    environment = (NODE / "environment.sh").read_text()
    assert "RAY_AUTH_MODE=token" in environment and "RAY_AUTH_TOKEN_PATH=" in environment
    assert any(".ray/auth_token" in place for place in config["file_mounts"])
    text = "\n".join(starts)
    assert "--dashboard-host=127.0.0.1" in text and "0.0.0.0" not in text and "ray-client" not in text
    assert not re.search(r"(password|secret|token)\s*[:=]\s*['\"]?\w{8,}", (ROOT / name).read_text(), re.IGNORECASE)


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_commands_run_files_of_this_checkout(name: str) -> None:
    config = cluster(name)
    commands = [command for key in config if key.endswith("_commands") for command in config[key]]
    named = re.findall(r"~/letheon/(deploy/\S+\.sh)", "\n".join(commands))
    assert named and all((ROOT / one).is_file() for one in named)
    assert {".git", ".venv"} <= set(config["rsync_exclude"])


def test_workers_come_only_when_they_are_needed_and_count_before_they_are_there() -> None:
    config = cluster("cluster.yaml")
    assert all(kind.get("min_workers", 0) == 0 for kind in config["available_node_types"].values())
    assert slots_that_fit(nodes_that_may_be(config, GPU), GPU) == config["max_workers"]


def test_spot_nodes_first_and_others_while_there_are_none() -> None:
    """As Ray's autoscaler itself chooses."""
    # What is mounted is this checkout and a token of the user's: as on a head, neither is read.
    config = AutoscalingConfig(cluster("cluster.yaml"), skip_content_hash=True)
    kinds = config.get_node_type_configs()
    assert kinds is not None

    def chosen(availability: dict[str, float]) -> dict[str, int]:
        wanted = [ResourceRequestUtil.make({"CPU": 4, "GPU": 1}) for _ in range(2)]
        request = SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=kinds,
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count(wanted),
            cloud_resource_availabilities=availability,
            recoverable_resource_availabilities=availability,
        )
        return {one.instance_type: one.count for one in ResourceDemandScheduler().schedule(request).to_launch}

    assert chosen({}) == {"gpu_spot": 2}
    assert chosen({"gpu_spot": 0.0}) == {"gpu_on_demand": 2}
    start = " ".join(cluster("cluster.yaml")["head_start_ray_commands"])
    assert "RAY_enable_autoscaler_v2=1" in start, "the first version looks at neither"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_bash_reads_the_script(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False).returncode == 0


def run_head(home: Path, *steps: str, port: int = 5000) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HOME": str(home),
        "LETHEON_ROOT": str(home / "root"),
        "LETHEON_TRACKING_PORT": str(port),
    }
    command = ["bash", str(NODE / "head.sh"), *steps]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)


def settings_in(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_the_head_makes_its_secrets_once_and_keeps_them_to_itself(tmp_path: Path) -> None:
    told = run_head(tmp_path, "secrets")
    files = sorted((tmp_path / ".config" / "letheon").iterdir())
    assert [file.name for file in files] == ["auth.ini", "server.env", "tracking.env"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    before = [file.read_text() for file in files]
    password = settings_in(files[2])["MLFLOW_TRACKING_PASSWORD"]
    assert len(password) > 20 and password not in told.stdout + told.stderr
    run_head(tmp_path, "secrets")
    assert [file.read_text() for file in files] == before


def test_jobs_inherit_the_token_the_root_and_the_tracking_server(tmp_path: Path) -> None:
    run_head(tmp_path, "secrets", port=5123)
    script = f"source {NODE / 'environment.sh'} && env"
    shown = subprocess.run(
        ["bash", "-c", script],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "MLFLOW_TRACKING_URI=http://localhost:5123" in shown and "MLFLOW_TRACKING_PASSWORD=" in shown
    assert "RAY_AUTH_MODE=token" in shown and "LETHEON_ROOT=/srv/letheon" in shown
    assert f"PATH={tmp_path}/letheon/.venv/bin:" in shown


def test_the_rayjob_begins_a_sweep_and_goes_on_with_it(tmp_path: Path) -> None:
    job, nodes = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "rayjob.yaml").read_text())
    (tmp_path / "letheon").write_text("#!/bin/sh\necho $@\n")
    (tmp_path / "letheon").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LETHEON_ROOT": str(tmp_path)}

    def runs() -> str:
        entry = job["spec"]["entrypoint"]
        return subprocess.run(
            ["sh", "-c", entry], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert runs() == "sweep /etc/letheon/sweep.yaml --name my-sweep --address auto"
    (tmp_path / "sweeps" / "my-sweep").mkdir(parents=True)
    (tmp_path / "sweeps" / "my-sweep" / "spec.yaml").touch()
    assert runs() == "resume my-sweep --address auto"
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    promised = nodes_that_may_be(yaml.safe_load(nodes["data"]["nodes.yaml"]), GPU)
    assert len(promised) == group["maxReplicas"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert promised[0] == {"CPU": int(limits["cpu"]), "GPU": int(limits["nvidia.com/gpu"])}
    for pod in (job["spec"]["rayClusterSpec"]["headGroupSpec"], group):
        spec = pod["template"]["spec"]
        assert {one["name"] for one in spec["containers"][0]["volumeMounts"]} == {
            one["name"] for one in spec["volumes"]
        }
        assert spec["securityContext"]["runAsNonRoot"]


@pytest.mark.slow
def test_the_head_s_tracking_server_answers_only_who_has_the_password(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run_head(tmp_path, "secrets", port=port)
    (tmp_path / "root").mkdir()
    (tmp_path / "letheon").symlink_to(ROOT)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "LETHEON_ROOT": str(tmp_path / "root"),
        "LETHEON_TRACKING_PORT": str(port),
    }
    server = subprocess.Popen(["bash", str(NODE / "head.sh"), "run"], env=environment, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
        assert wait_for_status(address) == 401
        secret = settings_in(tmp_path / ".config" / "letheon" / "tracking.env")
        from letheon.tracking.round_trip import round_trip

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
