"""All checks in order, each as soon as it is known."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
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
    """This machine, the tracking store, then every node of the cluster at `address` (none: Ray is started here).

    `say` is told what is waited for.
    """
    from letheon.cluster.session import ray_session
    from letheon.doctor.tracking_store import round_trip

    root = root.resolve()
    say("looking at this machine")
    yield from check_machine(root)
    say("writing a run to the tracking store and reading it back")
    yield round_trip(root)
    gpu = _has_gpus()
    say(f"joining the cluster at {address}" if address else "starting Ray on this machine")
    try:
        with ray_session(address, float(gpu)) as dashboard:
            yield from _check_cluster(root, dashboard, say)
    except ConnectionError as error:
        fix = "is the address right, do both sides have the same ~/.ray/auth_token, and is RAY_AUTH_MODE the same?"
        yield failed("ray", f"{address}: {error}", fix)


def _has_gpus() -> bool:
    import torch

    return torch.cuda.is_available()


def _check_cluster(root: Path, dashboard: str | None, say: Say) -> Iterator[Finding]:
    import ray

    nodes: list[Mapping[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    total = {name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    there = f"{several(len(nodes), 'node')} with {several(total['CPU'], 'CPU')} and {several(total['GPU'], 'GPU')}"
    yield ok("ray", there)
    yield _check_token(dashboard)
    say(f"asking {several(len(nodes), 'node')} for versions, ports, clocks and storage")
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
    say("letting two workers add up numbers")
    yield _all_reduce(root, nodes, total["GPU"] > 0)


def _probe_on(node: str) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor: Any = ray.remote(Probe)
    return actor.options(
        num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    ).remote()


def _check_token(url: str | None) -> Finding:
    """What somebody without the token is answered, who asks the dashboard at `url` for the jobs of this cluster."""
    if not url:
        return warning(
            "token", "this cluster has no dashboard", "start Ray with its dashboard: slots need its State API"
        )
    try:
        with urlopen(f"http://{url}/api/jobs/", timeout=ANSWER_SECONDS) as answer:
            status = int(answer.status)
    except HTTPError as error:
        status = error.code
    except OSError as error:
        return warning("token", f"http://{url} does not answer: {error}", "look at Ray's dashboard.log")
    if status in UNAUTHORIZED:
        return ok("token", f"http://{url} requires a token ({status} without one)")
    return failed(
        "token",
        f"http://{url} answers everybody ({status}): whoever reaches it runs code here",
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH on every node before `ray start`",
    )


def _offset(probe: Any) -> tuple[float, float]:
    """Seconds that the node is ahead, and how unsure that is: half of the time that asking took, the best of five."""
    import ray

    best = (0.0, float("inf"))
    for _ in range(5):
        before = time.time()
        there: float = ray.get(probe.clock.remote(), timeout=ANSWER_SECONDS)
        after = time.time()
        if after - before < 2 * best[1]:
            best = there - (before + after) / 2, (after - before) / 2
    return best


def _storage(root: Path, probes: Mapping[str, Any]) -> dict[str, str]:
    """A file in both directions between the driver and each node; what went wrong, by host."""
    import ray

    folder = root / f".doctor-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    wrong: dict[str, str] = {}
    try:
        (folder / "driver").write_text("from the driver")
        for number, (host, probe) in enumerate(probes.items()):
            text = ray.get(probe.read.remote(str(folder), "driver", SEEN_SECONDS), timeout=ANSWER_SECONDS)
            if text != "from the driver":
                wrong[host] = f"does not see what the driver wrote within {SEEN_SECONDS:.0f} s"
                continue
            problem = ray.get(probe.write.remote(str(folder), f"node-{number}", host), timeout=ANSWER_SECONDS)
            if problem is not None:
                wrong[host] = problem
            elif Probe().read(str(folder), f"node-{number}", SEEN_SECONDS) != host:
                wrong[host] = f"the driver does not see what it wrote within {SEEN_SECONDS:.0f} s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return wrong


def _all_reduce(root: Path, nodes: list[Mapping[str, Any]], gpu: bool) -> Finding:
    one = WorkersConfig(cpus_per_worker=1, gpus_per_worker=float(gpu))
    room = sum(workers_that_fit(node["Resources"], one) for node in nodes)
    folder = root / f".doctor-{uuid.uuid4().hex[:8]}"
    try:
        return check_all_reduce(folder, gpu, room)
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
