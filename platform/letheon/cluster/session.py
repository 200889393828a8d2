"""Ray for the length of one command: started quietly (or joined), and gone without a trace afterwards.

Ray's own logs live in its temporary folder, which is removed with it; what workers print is in the sweep's `logs/`.
Who may reach a Ray that was started here is in `loopback_only`.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from letheon.cluster.security import loopback_only, ray_folder, warn_if_open
from letheon.common import scratch
from trainables.ray_train import NAMESPACE
from trainables.runtime.imports import gc_paused

DISCOVERY = "prom_metrics_service_discovery.json"
"""Where Ray says, in a file of its temporary folder, which addresses Prometheus shall ask."""

WORKER_ENVIRONMENT = {
    # The 2 s default would delay each of Ray Train's own polls by as much.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # It would log again what is printed: every line twice in a worker's log.
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}
DRIVER_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    # What controllers say goes where `torch_group` sends it.
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Slots start all at once; Tune would start one after the other, and give up one that is starting for one that has
    # just become free, again and again while trials are shorter than a start. How many there are the searcher decides.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
    # Ray's node asks its object store, which has just begun to listen, and again after this time: it was a second, of
    # every other start. As many milliseconds in all as before.
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
    # `stop_request` listens.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Three files a trial that nothing reads, and an import of torch.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The state of all trials, which a resumed sweep takes from its journal: written down at the start and at the end.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}


ALONE_ENVIRONMENT = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
"""Where Ray is started here: nobody gives notice that the machine of the command itself will be gone."""

JOINED_ENVIRONMENT = {"RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "2"}
"""On a cluster, whose nodes may be preempted: how often Ray Train asks for notices."""


def worker_environment(gpus_per_worker: float) -> dict[str, str]:
    """Environment of every worker. DeepSpeed guesses its accelerator from what is installed unless told."""
    return {**WORKER_ENVIRONMENT, "DS_ACCELERATOR": "cuda" if gpus_per_worker else "cpu"}


@contextmanager
def ray_session(address: str | None, gpus_per_worker: float = 0) -> Iterator[str | None]:
    """Start Ray on this machine, or join the cluster at `address`; leave nothing behind.

    Gives `host:port` of Ray's dashboard, None where it has none.

    Raises:
        ConnectionError: nothing answers at `address`.
    """
    environment = worker_environment(gpus_per_worker)
    scratch.remove_stale()
    with _environment({**DRIVER_ENVIRONMENT, **(JOINED_ENVIRONMENT if address else ALONE_ENVIRONMENT), **environment}):
        common: dict[str, Any] = {
            "namespace": NAMESPACE,
            "log_to_driver": False,
            "logging_level": "ERROR",
            "configure_logging": True,
        }
        if address:
            with gc_paused():
                import ray

            with _same_sigterm():
                context = ray.init(address=address, runtime_env={"env_vars": environment}, **common)
            try:
                yield context.dashboard_url
            finally:
                ray.shutdown()
            return
        folder = scratch.make()  # Ray's sockets lie below it and may have no more than 107 characters
        found = folder.with_suffix(".json")
        try:
            # Prometheus finds files by a pattern in the last part of their path only: this one is beside the folder.
            found.symlink_to(ray_folder(folder) / DISCOVERY)
            # The dashboard serves the State API, without which Ray Train leaks placement groups.
            with loopback_only(folder):
                with gc_paused():
                    import ray

                importing = threading.Thread(target=_import_trainer, name="import-ray-train")
                importing.start()
                with _same_sigterm():
                    context = ray.init(
                        include_dashboard=True,
                        dashboard_host="127.0.0.1",
                        num_cpus=len(os.sched_getaffinity(0)),
                        **common,
                    )
                importing.join()
                warn_if_open()
            yield context.dashboard_url
        finally:
            ray.shutdown()
            # The dashboard's last writes would make the folder again.
            _wait_for_processes(folder)
            shutil.rmtree(folder, ignore_errors=True)
            found.unlink(missing_ok=True)


def _import_trainer() -> None:
    """What the first workers need of this process: two seconds of imports."""
    with gc_paused():
        import ray.train.torch  # noqa: F401 (to have been imported)


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """`ray.init` within the block leaves a handler of SIGTERM as it was: its own ends the process without a word in the
    journal. A SIGTERM that meets that one is handed on, and the block raises KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        yield
    except SystemExit:
        handler(signal.SIGTERM, None)
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGTERM, handler)


def _wait_for_processes(folder: Path, seconds: float = 10.0) -> None:
    """Until no process has a file below the folder open (Ray's write their logs there), or the time is over."""
    below, deadline = f"{folder}/", time.monotonic() + seconds
    while time.monotonic() < deadline and any(path.startswith(below) for path in _open_files()):
        time.sleep(0.05)


def _open_files() -> Iterator[str]:
    """Of all processes that may be looked at, but this one: its logs are closed when it ends."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            with suppress(OSError):  # it has ended meanwhile, or belongs to somebody else
                for link in os.scandir(process / "fd"):
                    with suppress(OSError):
                        yield os.readlink(link)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the length of the block; what the user has set wins."""
    added = {key: value for key, value in values.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def node_resources() -> list[dict[str, float]]:
    """Resources of every node that is alive and has no notice."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    leaving = draining_nodes()
    return [dict(node["Resources"]) for node in nodes if node["Alive"] and node["NodeID"] not in leaving]


def draining_nodes() -> set[str]:
    """Ids of the nodes that will be gone soon: preempted, or scaled down. Ray gives them no new work."""
    import ray
    from ray.util.client import ray as remote

    if remote.is_connected():  # type: ignore[no-untyped-call]  # a driver behind `ray://` cannot ask
        return set()
    try:
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
    except Exception:  # Ray does not document this call: without it, such nodes count until they are gone
        return set()
    return {str(node.node_id) for node in status.active_nodes if node.node_status == "DRAINING"}
