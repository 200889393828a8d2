"""A Ray session as in a sweep, with the two workers of a trial in their process group, for tests of its ports.

    python -m tests.trust.session_process FOLDER

Prints one JSON line (`folder`: the session's; `sockets`: all on which its processes listen) and runs until its input
ends.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from letheon.cluster.session import ray_session
from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import OwnedWorkerGroup
from trainables.config import WorkersConfig

WAIT_SECONDS = 120


def main() -> None:
    """Until the input ends."""
    place = Path(sys.argv[1])
    settings = WorkerSettings(workers=WorkersConfig(workers=2), storage=place / "train", logs=place / "logs")
    with ray_session(None):
        import ray  # not earlier, since Ray chooses its address when it is imported
        from ray.util.state import list_nodes

        group = OwnedWorkerGroup(settings)
        deadline = time.monotonic() + WAIT_SECONDS
        while ray.get(group.mailbox.worker.remote()) is None:  # set once the workers have joined their process group
            assert time.monotonic() < deadline and group.error is None, group.error
            time.sleep(0.1)
        here = ray.get_runtime_context()
        list_nodes(address=here.gcs_address)  # waits for the dashboard
        print(json.dumps({"folder": here.get_temp_dir(), "sockets": list(listening())}), flush=True)
        sys.stdin.read()
        group.close()


def listening() -> Iterator[dict[str, Any]]:
    """Every socket on which this process or its descendants listen: `process` (title), `name`, `address`, `port`."""
    for process in [me := psutil.Process(), *me.children(recursive=True)]:
        title = " ".join(process.cmdline()[:3])
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN or (one.type.name == "SOCK_DGRAM" and not one.raddr):
                yield {"process": title, "name": process.name(), "address": one.laddr.ip, "port": one.laddr.port}


if __name__ == "__main__":
    main()
