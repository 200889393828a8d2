"""Runs on a node of the cluster and collects facts about it; `nodes` judges them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PACKAGES = ("letheon", "ray", "torch", "transformers", "deepspeed", "safetensors")
OURS = ("ray", "raylet", "gcs_server", "mlflow", "letheon", "uvicorn")


class Probe:
    """An actor, one per node."""

    def clock(self) -> float:
        """Unix seconds."""
        return time.time()

    def facts(self) -> dict[str, Any]:
        """`host`; `versions` by package; `ports`: `[address, port, process]` on which the processes of Ray, MLflow and
        Letheon listen; `addresses` of the network interfaces."""
        versions = {"python": platform.python_version()}
        for name in PACKAGES:
            with suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
        return {"host": socket.gethostname(), "versions": versions, "ports": _listening(), "addresses": _addresses()}

    def write(self, folder: str, name: str, text: str) -> str | None:
        """Write a file to the shared folder atomically. Returns the problem, or None."""
        try:
            temporary = Path(folder, f".{name}.{os.getpid()}")
            temporary.write_text(text)
            os.replace(temporary, Path(folder, name))
        except OSError as error:
            return str(error)
        return None

    def read(self, folder: str, name: str, seconds: float) -> str | None:
        """The file's text as soon as it is visible here; None after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            try:
                return Path(folder, name).read_text()
            except OSError:
                if time.monotonic() > end:
                    return None
                os.listdir(folder) if os.path.isdir(folder) else None  # makes a network file system refresh
                time.sleep(0.1)


def _listening() -> list[tuple[str, int, str]]:
    import psutil

    found = set()
    for process in psutil.process_iter(["name", "cmdline"]):
        with suppress(psutil.Error):
            words = " ".join([process.info["name"] or "", *(process.info["cmdline"] or [])[:3]])
            ours = next((name for name in OURS if name in words), None)
            if ours is not None:
                for connection in process.net_connections(kind="inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port, process.info["name"] or ours))
    return sorted(found)


def _addresses() -> list[str]:
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    every = (one for several in psutil.net_if_addrs().values() for one in several if one.family in families)
    return sorted({one.address.partition("%")[0] for one in every})
