"""A standing Ray cluster on this machine, in a process of its own: a head without CPUs and one node for trials.

    python benchmarks/faults/cluster.py CPUS

Says its address, then answers each line of its input with one: `kill` ends the node's raylet (SIGKILL) and starts
another node, `left` lists what is alive that somebody should have removed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COORDINATOR = "_AutoscalingCoordinatorActor"


def main() -> None:
    """Until the input ends."""
    from ray.cluster_utils import Cluster

    cpus = float(sys.argv[1])
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    node = cluster.add_node(num_cpus=cpus)
    print(json.dumps(cluster.address), flush=True)
    for line in sys.stdin:
        answer: Any = None
        if line.strip() == "kill":
            cluster.remove_node(node, allow_graceful=False)
            wait_until_alone(cluster.address)  # two nodes would take two trials at once
            node = cluster.add_node(num_cpus=cpus)
        else:
            answer = left(cluster.address)
        print(json.dumps(answer), flush=True)
    cluster.shutdown()  # type: ignore[no-untyped-call]


def wait_until_alone(address: str) -> None:
    """Until Ray has noticed that the head is the only node."""
    from ray.util.state import list_nodes

    while len(list_nodes(address, filters=[("state", "=", "ALIVE")], raise_on_missing_output=False)) > 1:
        time.sleep(0.2)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def left(address: str) -> list[str]:
    """Actors and placement groups that exist, but for the one actor of Ray Train that serves a whole cluster."""
    from ray.util.state import list_actors, list_placement_groups

    actors = list_actors(address, filters=[("state", "!=", "DEAD")])
    coordinators = [actor for actor in actors if actor.class_name == COORDINATOR]
    actors = [actor for actor in actors if actor not in coordinators[:1]]
    groups = list_placement_groups(address, filters=[("state", "!=", "REMOVED")])
    return [f"actor {actor.class_name} {actor.state}" for actor in actors] + [
        f"placement group {group.placement_group_id} {group.state}" for group in groups
    ]


class Cluster:
    """It, from `with` to the end of the block. `environment` is for whoever talks to it: a token is needed."""

    def __init__(self, folder: Path, cpus: int, environment: Mapping[str, str]) -> None:
        self._folder, self._cpus = folder, cpus
        self.environment = {**environment, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
        self.address = ""

    def __enter__(self) -> Cluster:
        token = self._folder / "token"
        token.write_text(os.urandom(16).hex())
        token.chmod(0o600)
        with (self._folder / "cluster.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(self._cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment,
            )
        self.address = self._answer()
        return self

    def ask(self, word: str) -> Any:
        """`kill` or `left`. Raises RuntimeError if the cluster has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        """The next line that is JSON: Ray prints lines of its own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                return json.loads(line)
            except ValueError:
                continue
        raise RuntimeError(f"the cluster has ended: see {self._folder / 'cluster.log'}")

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


if __name__ == "__main__":
    main()
