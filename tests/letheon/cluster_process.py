"""Several Ray nodes on this machine, in a process of their own, since Ray reads its token once per process.

    python -m tests.letheon.cluster_process DASHBOARD_PORT CPUS_OF_THE_HEAD

Prints its address, then executes each line of its input: `add` a node with one CPU; `kill` the last one; give the first
one `notice` that it will be removed in two minutes; remove it (`gone`); `die` with everything, including the head.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Until the input ends."""
    from ray.cluster_utils import Cluster

    port, cpus = map(int, sys.argv[1:])
    head = {"num_cpus": cpus, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": port}
    head["dashboard_agent_listen_port"] = 0  # any: another Ray may have the default, and jobs need the agent
    cluster = Cluster(initialize_head=True, head_node_args=head)
    print(cluster.address, flush=True)
    nodes = []
    for line in sys.stdin:
        match line.strip():
            case "add":
                nodes.append(cluster.add_node(num_cpus=1))
            case "kill":
                cluster.remove_node(nodes.pop(), allow_graceful=False)
            case "notice":
                give_notice(cluster.address, nodes[0].node_id)
            case "gone":
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
            case "die":
                for node in [*nodes, cluster.head_node]:
                    node.kill_all_processes(check_alive=False, allow_graceful=False)
                os._exit(1)
        print("done", flush=True)
    cluster.shutdown()  # type: ignore[no-untyped-call]


def give_notice(address: str, node: str) -> None:
    """As a cloud provider's watcher does before a spot machine is removed."""
    command = [str(Path(sys.executable).parent / "ray"), "drain-node", "--address", address, "--node-id", node]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    subprocess.run([*command, "--deadline-remaining-seconds", "120"], check=True, stdout=sys.stderr)


@dataclass
class Nodes:
    """A running cluster. `address`: for drivers; `server`: its job server; `environment`: for its clients."""

    address: str
    server: str
    environment: dict[str, str]
    process: subprocess.Popen[str]

    def send(self, word: str) -> None:
        """Execute one of the commands; returns when it is done."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        while (line := self.process.stdout.readline()) != "done\n":
            assert line, "the cluster has ended"

    def die(self) -> None:
        """SIGKILL everything except drivers; returns when it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write("die\n")
        self.process.stdin.flush()
        self.process.wait(60)


@contextmanager
def nodes(folder: Path, port: int, head_cpus: int = 1, environment: Mapping[str, str] = os.environ) -> Iterator[Nodes]:
    """A head node that requires a token. `environment`: for all of its processes."""
    token = folder / "token"
    token.write_text(os.urandom(16).hex())
    token.chmod(0o600)
    environment = {
        **environment,
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.letheon.cluster_process", str(port), str(head_cpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": f"{environment.get('PYTHONPATH', '')}:{ROOT / 'platform'}:{ROOT}"},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        while ":" not in (address := process.stdout.readline().strip()):
            assert process.poll() is None, "the cluster did not start"
        yield Nodes(address, f"http://127.0.0.1:{port}", environment, process)
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    main()
