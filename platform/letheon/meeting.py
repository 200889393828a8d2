"""How the workers of a trial find each other: on one machine through a file, between machines through a port.

Torch's usual meeting place is a port on all interfaces that asks for no password and tells every worker whom to connect
to. Where Ray listens on the loopback interface only, all workers share a disk, so they need no such port.
"""

from __future__ import annotations

import ipaddress
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from letheon.torch_group import TorchGroupConfig

TIMEOUT_SECONDS = 1800
LOOPBACK_INTERFACE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""For the environment of workers that all are on one machine: their connections stay in it."""


def torch_config(backend: str, timeout_s: int = TIMEOUT_SECONDS, log: Path | None = None) -> TorchGroupConfig:
    """For Ray Train, of a process group of `backend`: gloo or nccl. `log`: where the run's controller writes."""
    from letheon.torch_group import TorchGroupConfig

    return TorchGroupConfig(backend, timeout_s, log)


def file_to_meet() -> str | None:
    """The URL of a file where the workers of a group can meet, once; None if others may join the session.

    To be called by a process of a Ray session. The file's folder is this user's alone, and goes with the session's.
    """
    import ray
    from ray.util import get_node_ip_address

    address: str = get_node_ip_address()  # type: ignore[no-untyped-call]
    if not ipaddress.ip_address(address).is_loopback:
        return None
    context = ray.get_runtime_context()
    session = Path(context.get_temp_dir(), context.get_session_name())
    return f"file://{tempfile.mkdtemp(prefix='meeting-', dir=session)}/{uuid.uuid4().hex}"
