"""Starts or joins Ray for one command, quietly, and leaves no processes or files behind.

Ray's own logs are in its temporary folder, which is removed with it; the output of workers is in the sweep's `logs/`.
`security` decides who can reach a Ray that is started here.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from letheon.cluster.security import LOOPBACK, environment, loopback_only, ray_folder, warn_if_open
from letheon.common import scratch
from trainables.ray_train import NAMESPACE
from trainables.runtime.imports import gc_paused

INIT_OPTIONS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "log_to_driver": False,
    "logging_level": "ERROR",
    "configure_logging": True,
}
DISCOVERY = "prom_metrics_service_discovery.json"
"""File in Ray's temporary folder that lists the addresses for Prometheus to scrape."""

WORKER_ENVIRONMENT = {
    # The default of 2 s would delay every poll of Ray Train's controller.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # It would write every printed line twice into a worker's log.
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    # Ray hides the GPUs of a machine from workers that have asked for none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # cuDNN would plan attention for every new shape, and almost every batch of an evaluation has its own. `0` asks for
    # it again. Flash attention takes its place.
    "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1",
}
DRIVER_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    # `process_group` sets up the controllers' logs.
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A thread that outlives the session must not start another Ray. Read when ray is imported.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # All slots start at once. Tune would start them one by one, and replace a starting slot by one that has just become
    # free, repeatedly while trials are shorter than a start. The searcher limits their number.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
    # The raylet retries its connection to the new object store after this time: 1 s by default, in half of all starts.
    # The total time is unchanged.
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
    # Each trial slot has five processes. Above four times this number Ray prints a warning; the default, one per core,
    # would warn in every sweep on two cores.
    "RAY_worker_maximum_startup_concurrency": "16",
    # `StopRequest` handles the signal.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # They write three unused files per trial and import torch.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Resumed sweeps read the journal, so Tune saves its own state only at the start and at the end.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}
LOCAL_ENVIRONMENT = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
"""For a Ray that is started here: this machine gets no preemption notices."""

JOINED_ENVIRONMENT = {"RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "2"}
"""For a cluster, whose nodes may be preempted: how often Ray Train checks for notices."""


def worker_environment(gpus_per_worker: float) -> dict[str, str]:
    """Environment of every worker; what the user has set wins.

    Without a setting, DeepSpeed guesses the accelerator from the installed packages.
    """
    ours = {**WORKER_ENVIRONMENT, "DS_ACCELERATOR": "cuda" if gpus_per_worker else "cpu"}
    return {name: os.environ.get(name, value) for name, value in ours.items()}


@contextmanager
def ray_session(address: str | None, gpus_per_worker: float = 0) -> Iterator[str | None]:
    """Start Ray on this machine, or join the cluster at `address`; leave nothing behind.

    Yields `host:port` of Ray's dashboard, or None if it has no dashboard.

    Raises:
        ConnectionError: nothing answers at `address`.
    """
    for_workers = worker_environment(gpus_per_worker)
    defaults = {**DRIVER_ENVIRONMENT, **(JOINED_ENVIRONMENT if address else LOCAL_ENVIRONMENT), **for_workers}
    session = _joined_session(address, for_workers) if address else _local_session()
    scratch.remove_stale()
    # What the user has set wins.
    with environment({name: value for name, value in defaults.items() if name not in os.environ}), session as dashboard:
        yield dashboard


@contextmanager
def _joined_session(address: str, for_workers: Mapping[str, str]) -> Iterator[str | None]:
    with gc_paused():
        import ray

    with _keep_sigterm_handler():
        context = ray.init(address=address, runtime_env={"env_vars": dict(for_workers)}, **INIT_OPTIONS)
    try:
        yield context.dashboard_url
    finally:
        ray.shutdown()


@contextmanager
def _local_session() -> Iterator[str | None]:
    folder = scratch.make()  # short, since the paths of Ray's sockets below it may have 107 characters
    discovery = folder.with_suffix(".json")
    try:
        # Prometheus allows a pattern in the last part of a path only, so this link is next to the folder.
        discovery.symlink_to(ray_folder(folder) / DISCOVERY)
        with loopback_only(folder):
            with gc_paused():
                import ray

            importing = threading.Thread(target=_import_trainer, name="import-ray-train")
            importing.start()
            with _keep_sigterm_handler():
                # The dashboard serves the State API, without which Ray Train leaks placement groups.
                context = ray.init(
                    include_dashboard=True,
                    dashboard_host=LOOPBACK,
                    num_cpus=len(os.sched_getaffinity(0)),
                    **INIT_OPTIONS,
                )
            importing.join()
            warn_if_open()
        yield context.dashboard_url
    finally:
        if "ray" in sys.modules:  # not if a stop has interrupted its import
            ray.shutdown()
        # The dashboard's last writes would create the folder again.
        _wait_for_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        discovery.unlink(missing_ok=True)


def _import_trainer() -> None:
    """Two seconds of imports that this process needs before it can start workers."""
    with gc_paused():
        import ray.train.torch  # noqa: F401


@contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the SIGTERM handler that `ray.init` replaces by one that ends the process without a journal row.

    A SIGTERM that reaches Ray's handler meanwhile is passed on, and the block raises KeyboardInterrupt.
    """
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
    """Wait until no process has a file below the folder open (Ray's logs are there), at most `seconds`."""
    below, deadline = f"{folder}/", time.monotonic() + seconds
    while time.monotonic() < deadline and any(path.startswith(below) for path in _open_files()):
        time.sleep(0.05)


def _open_files() -> Iterator[str]:
    """Paths of open files of all readable processes except this one, which closes its logs when it ends."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            with suppress(OSError):  # it has ended, or belongs to another user
                for link in os.scandir(process / "fd"):
                    with suppress(OSError):
                        yield os.readlink(link)


def node_resources() -> list[dict[str, float]]:
    """Resources of every node that is alive and not draining."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    leaving = draining_nodes()
    return [dict(node["Resources"]) for node in nodes if node["Alive"] and node["NodeID"] not in leaving]


def cluster_nodes(address: str) -> list[dict[str, float]]:
    """`node_resources` of the cluster at `address`. Raises ConnectionError."""
    with ray_session(address):
        return node_resources()


def draining_nodes() -> set[str]:
    """Ids of the nodes that will be removed soon (preempted or scaled down). Ray schedules no new work on them."""
    import ray
    from ray.util.client import ray as remote

    if remote.is_connected():  # type: ignore[no-untyped-call]  # not available to a driver that uses `ray://`
        return set()
    try:
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
    except Exception:  # Ray does not document this call; without it, draining nodes count until they are removed
        return set()
    return {str(node.node_id) for node in status.active_nodes if node.node_status == "DRAINING"}
