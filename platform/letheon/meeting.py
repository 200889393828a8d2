"""How the workers of a trial find each other: on one machine through a file, between machines through a port.

Torch's usual meeting place is a port on all interfaces that asks for no password and tells every worker whom to connect
to. Where Ray listens on the loopback interface only, all workers share a disk, so they need no such port.
"""

from __future__ import annotations

import ipaddress
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.train.torch import TorchConfig

TIMEOUT_SECONDS = 1800
LOOPBACK_INTERFACE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""For the environment of workers that all are on one machine: their connections stay in it."""


def torch_config(backend: str, timeout_s: int = TIMEOUT_SECONDS) -> TorchConfig:
    """Ray Train's configuration of the process group. To be called by a process of a Ray session."""
    from ray.train.torch import TorchConfig

    if not _on_one_machine():
        return TorchConfig(backend=backend, timeout_s=timeout_s)
    return _file_config()(backend=backend, timeout_s=timeout_s)


def _on_one_machine() -> bool:
    """Whether the session has the loopback address: others could not join it."""
    from ray.util import get_node_ip_address

    address: str = get_node_ip_address()  # type: ignore[no-untyped-call]
    return ipaddress.ip_address(address).is_loopback


def _folder() -> Path:
    """A new one of this user's alone, removed with Ray's own folder of the session."""
    from ray._private import worker

    node: Any = worker._global_node
    return Path(tempfile.mkdtemp(prefix="meeting-", dir=node.get_session_dir_path()))


@cache
def _file_config() -> type[TorchConfig]:
    """The class, made when it is first needed: its bases import torch."""
    import ray
    from ray.train.torch import config

    class FileBackend(config._TorchBackend):
        """As Ray's own, but for the place."""

        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            worker_group.execute(config._set_torch_distributed_env_vars)
            # A file serves once: a group that is started again meets in another one.
            place = f"file://{_folder() / uuid.uuid4().hex}"
            options = {"backend": backend_config.backend, "timeout_s": backend_config.timeout_s, "init_method": place}
            size = len(worker_group)
            ray.get(
                [
                    worker_group.execute_single_async(
                        rank, config._setup_torch_process_group, world_rank=rank, world_size=size, **options
                    )
                    for rank in range(size)
                ]
            )

    class FileConfig(config.TorchConfig):
        @property
        def backend_cls(self) -> type[FileBackend]:
            return FileBackend

    return FileConfig
