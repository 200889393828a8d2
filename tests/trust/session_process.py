"""A Ray session as a sweep has it, with the two workers of a trial in their process group, to knock at its ports.

    python -m tests.trust.session_process FOLDER

Prints one JSON line (`folder`: of the session; `sockets`: all that any of its processes listens at) and lives until its
input ends.
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
        import ray  # not before: it decides then where it listens
        from ray.util.state import list_nodes

        resident = OwnedWorkerGroup(settings)
        deadline = time.monotonic() + WAIT_SECONDS
        while ray.get(resident.mailbox.worker.remote()) is None:  # it is known once the process group stands
            assert time.monotonic() < deadline and resident.error is None, resident.error
            time.sleep(0.1)
        here = ray.get_runtime_context()
        list_nodes(address=here.gcs_address)  # which waits for the dashboard
        print(json.dumps({"folder": here.get_temp_dir(), "sockets": list(listening())}), flush=True)
        sys.stdin.read()
        resident.close()


def listening() -> Iterator[dict[str, Any]]:
    """Every socket that this process or one below it listens at. `process`: its title; `address`; `port`."""
    for process in [me := psutil.Process(), *me.children(recursive=True)]:
        title = " ".join(process.cmdline()[:3])
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN or (one.type.name == "SOCK_DGRAM" and not one.raddr):
                yield {"process": title, "name": process.name(), "address": one.laddr.ip, "port": one.laddr.port}


if __name__ == "__main__":
    main()
