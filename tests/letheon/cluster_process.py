"""Several Ray nodes on this machine, in a process of their own: Ray reads how to authenticate once a process.

    python -m tests.letheon.cluster_process DASHBOARD_PORT

Says its address, then does what each line of its input asks for: `add` a node of one CPU, `kill` the last one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Until the input ends."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": int(sys.argv[1])}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    print(cluster.address, flush=True)
    nodes = []
    for line in sys.stdin:
        if line.strip() == "add":
            nodes.append(cluster.add_node(num_cpus=1))
        else:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("done", flush=True)
    cluster.shutdown()  # type: ignore[no-untyped-call]


@dataclass
class Nodes:
    """A running cluster. `address`: for drivers; `server`: its job server; `environment`: for whoever talks to it."""

    address: str
    server: str
    environment: dict[str, str]
    process: subprocess.Popen[str]

    def ask(self, word: str) -> None:
        """`add` or `kill`; returns when it is done."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        while (line := self.process.stdout.readline()) != "done\n":
            assert line, "the cluster has ended"


@contextmanager
def nodes(folder: Path, port: int) -> Iterator[Nodes]:
    """A head with one CPU whose every request needs a token."""
    token = folder / "token"
    token.write_text(os.urandom(16).hex())
    token.chmod(0o600)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.letheon.cluster_process", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        while ":" not in (address := process.stdout.readline().strip()):
            assert process.poll() is None, "the cluster did not start"
        yield Nodes(address, f"http://127.0.0.1:{port}", environment, process)
    finally:
        process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    main()
