"""Settings that all worker groups of a sweep share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from trainables.config import PluginConfig, WorkersConfig


@dataclass(frozen=True)
class WorkerSettings:
    """`storage`: Ray Train's folder, shared by all nodes. `preload`: import what language models need before the first
    job. `fixed_nodes`: no node will join. `plugins`: code of the sweep, with the content of its files.
    """

    workers: WorkersConfig
    storage: Path
    logs: Path
    preload: bool = True
    fixed_nodes: bool = False
    plugins: tuple[PluginConfig, ...] = ()

    @property
    def prefix(self) -> str:
        """How the names of these worker groups begin, and no other sweep's."""
        return f"slot-{hashlib.sha256(str(self.logs).encode()).hexdigest()[:6]}-"
