"""Sets up torch's process group for Ray Train workers, so that only the workers import torch.

Ray's own `TorchConfig` imports torch wherever it is unpickled, which costs every run's controller 1 s of start and
200 MB. Torch's usual rendezvous is a port on all interfaces that requires no password. If Ray listens on the loopback
interface only, all workers share a disk, so they use a file instead.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig

from trainables.runtime.imports import gc_paused

LEAVE_SECONDS = 30.0


@dataclass
class TorchGroupConfig(BackendConfig):
    """`backend`: gloo or nccl. `timeout_s`: timeout of every collective. `log`: log file of the run's controller."""

    backend: str
    timeout_s: int = 1800
    log: Path | None = None

    @property
    def backend_cls(self) -> type[TorchGroup]:
        return TorchGroup

    @property
    def train_func_context(self) -> Callable[[], AbstractContextManager[None]]:
        return _on_own_device

    def to_dict(self) -> dict[str, Any]:
        return {"backend": self.backend, "timeout_s": self.timeout_s}


class TorchGroup(Backend):
    """Callbacks of Ray's controller, after a worker group has started and before it ends."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Let every worker join; returns when all have."""
        if backend_config.log is not None:
            _log_to(backend_config.log)
        place, environment = rendezvous_file(), {}
        if place is None:
            address, port = worker_group.execute_single(0, _free_address)
            place, environment = "env://", {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
        arguments = (backend_config, place, environment)
        ranks = range(len(worker_group))
        ray.get([worker_group.execute_single_async(rank, _join, *arguments) for rank in ranks])

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Let every worker leave, for at most LEAVE_SECONDS: one may hang."""
        if len(worker_group) > 1:
            ray.wait(worker_group.execute_async(_leave), num_returns=len(worker_group), timeout=LEAVE_SECONDS)


def _free_address() -> tuple[str, int]:
    """This node's address and a port that is free now."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as free:
        free.bind(("", 0))
        return address, int(free.getsockname()[1])


def _join(config: TorchGroupConfig, place: str, environment: Mapping[str, str]) -> None:
    """Set the variables of torch's own launcher, which DeepSpeed also reads, and join."""
    with gc_paused():
        import ray.train
        import ray.train.torch
        import torch

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "NODE_RANK": str(context.get_node_rank()),
        **environment,
    }
    _use_device(ray.train.torch.get_device())
    timeout = timedelta(seconds=config.timeout_s)
    torch.distributed.init_process_group(config.backend, init_method=place, rank=rank, world_size=size, timeout=timeout)


@contextmanager
def _on_own_device() -> Iterator[None]:
    """Around the train loop, whose thread is not the one that joined: CUDA has a current device per thread."""
    import ray.train.torch

    _use_device(ray.train.torch.get_device())
    yield


def _use_device(device: Any) -> None:
    """Make a GPU this thread's current device. A worker without GPUs may run on a machine that has some."""
    if device.type == "cuda":
        import torch

        torch.cuda.set_device(device)


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def _log_to(file: Path) -> None:
    """Write Ray Train's log of this process to `file` as well: Ray's own logs are deleted with its session."""
    logger = logging.getLogger("ray.train")
    if any(isinstance(handler, logging.FileHandler) for handler in logger.handlers):
        return  # set up when this controller started an earlier group
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)


def rendezvous_file() -> str | None:
    """The URL of a new file for the rendezvous of one group; None if other nodes can join the session.

    Call it in a process of a Ray session. The file is in a private folder that is deleted with the session.
    """
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if not ipaddress.ip_address(address).is_loopback:
        return None
    context = ray.get_runtime_context()
    session = Path(context.get_temp_dir(), context.get_session_name())
    return f"file://{tempfile.mkdtemp(prefix='meeting-', dir=session)}/{uuid.uuid4().hex}"
