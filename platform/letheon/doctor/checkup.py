"""Runs all checks in order and yields each finding at once."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from letheon.cluster.capacity import workers_that_fit
from letheon.common.counting import several
from letheon.doctor.all_reduce import check_all_reduce
from letheon.doctor.finding import Finding, failed, ok, warning
from letheon.doctor.machine import check_machine
from letheon.doctor.nodes import judge_clocks, judge_ports, judge_storage, judge_versions
from letheon.doctor.probe import Probe
from trainables.config import WorkersConfig

Say = Callable[[str], None]

ANSWER_SECONDS = 60
SEEN_SECONDS = 10.0  # how long a shared file system may take to show a new file
UNAUTHORIZED = (401, 403)


def checkup(root: Path, address: str | None, say: Say = lambda text: None) -> Iterator[Finding]:
    """Check this machine, the tracking store, then every node of the cluster at `address` (default: a local Ray).

    `say` gets a line before each step that takes time.
    """
    from letheon.cluster.session import ray_session
    from letheon.doctor.tracking_store import round_trip

    root = root.resolve()
    import torch

    say("checking this machine")
    yield from check_machine(root)
    say("writing a run to the tracking store and reading it back")
    yield round_trip(root)
    say(f"joining the cluster at {address}" if address else "starting Ray on this machine")
    try:
        with ray_session(address, float(torch.cuda.is_available())) as dashboard:
            yield from _check_cluster(root, dashboard, say)
    except ConnectionError as error:
        fix = "is the address right, do both sides have the same ~/.ray/auth_token, and is RAY_AUTH_MODE the same?"
        yield failed("ray", f"{address}: {error}", fix)


def _check_cluster(root: Path, dashboard: str | None, say: Say) -> Iterator[Finding]:
    import ray

    nodes: list[Mapping[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    total = {name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    yield ok("ray", f"{several(len(nodes), 'node')}, {several(total['CPU'], 'CPU')}, {several(total['GPU'], 'GPU')}")
    yield _check_token(dashboard)
    say(f"checking versions, ports, clocks and storage of {several(len(nodes), 'node')}")
    probes = {node["NodeID"]: _probe_on(node["NodeID"]) for node in nodes}
    facts: list[dict[str, Any]] = ray.get([probe.facts.remote() for probe in probes.values()], timeout=ANSWER_SECONDS)
    yield judge_versions(facts)
    yield judge_ports(facts)
    hosts = [f"{node['NodeManagerHostname']} ({node['NodeID'][:6]})" for node in nodes]
    named = dict(zip(hosts, probes.values(), strict=True))
    yield judge_clocks({host: _offset(probe) for host, probe in named.items()})
    yield judge_storage(str(root), _storage(root, named), len(nodes))
    for probe in probes.values():
        ray.kill(probe)
    say("running an all-reduce on two workers")
    yield _all_reduce(root, nodes, total["GPU"] > 0)


def _probe_on(node: str) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor: Any = ray.remote(Probe)
    return actor.options(
        num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    ).remote()


def _check_token(url: str | None) -> Finding:
    """Whether the dashboard at `url` refuses to list the cluster's jobs without a token."""
    if not url:
        fix = "start Ray with its dashboard: slots need its State API"
        return warning("token", "this cluster has no dashboard", fix)
    try:
        with urlopen(f"http://{url}/api/jobs/", timeout=ANSWER_SECONDS) as answer:
            status = int(answer.status)
    except HTTPError as error:
        status = error.code
    except OSError as error:
        return warning("token", f"http://{url} does not answer: {error}", "see Ray's dashboard.log")
    if status in UNAUTHORIZED:
        return ok("token", f"http://{url} requires a token ({status} without one)")
    return failed(
        "token",
        f"http://{url} answers without a token ({status}): whoever reaches it can run code here",
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH on every node before `ray start`",
    )


def _offset(probe: Any) -> tuple[float, float]:
    """Seconds that the node's clock is ahead, and the uncertainty: half of the round trip, the best of five."""
    import ray

    best = (0.0, float("inf"))
    for _ in range(5):
        before = time.time()
        remote: float = ray.get(probe.clock.remote(), timeout=ANSWER_SECONDS)
        after = time.time()
        if after - before < 2 * best[1]:
            best = remote - (before + after) / 2, (after - before) / 2
    return best


@contextmanager
def _temporary_folder(root: Path) -> Iterator[Path]:
    """A folder below the root that all nodes see."""
    folder = root / f".doctor-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _storage(root: Path, probes: Mapping[str, Any]) -> dict[str, str]:
    """Pass a file in both directions between the driver and each node. Returns the problems by host."""
    import ray

    problems: dict[str, str] = {}
    with _temporary_folder(root) as folder:
        (folder / "driver").write_text("from the driver")
        for number, (host, probe) in enumerate(probes.items()):
            text = ray.get(probe.read.remote(str(folder), "driver", SEEN_SECONDS), timeout=ANSWER_SECONDS)
            if text != "from the driver":
                problems[host] = f"does not see the driver's file within {SEEN_SECONDS:.0f} s"
                continue
            problem = ray.get(probe.write.remote(str(folder), f"node-{number}", host), timeout=ANSWER_SECONDS)
            if problem is not None:
                problems[host] = problem
            elif Probe().read(str(folder), f"node-{number}", SEEN_SECONDS) != host:
                problems[host] = f"the driver does not see its file within {SEEN_SECONDS:.0f} s"
    return problems


def _all_reduce(root: Path, nodes: list[Mapping[str, Any]], gpu: bool) -> Finding:
    one = WorkersConfig(cpus_per_worker=1, gpus_per_worker=float(gpu))
    room = sum(workers_that_fit(node["Resources"], one) for node in nodes)
    with _temporary_folder(root) as folder:
        return check_all_reduce(folder, gpu, room)
