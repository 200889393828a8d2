"""Settings of a group of Train workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.config import WorkersConfig


@dataclass(frozen=True)
class WorkerSettings:
    """What all resident workers of a sweep have in common. `storage` is shared by all nodes.

    `preload`: import what jobs on models need before the first job is there. `fixed_nodes`: no node will be added.
    """

    workers: WorkersConfig
    storage: Path
    logs: Path
    preload: bool = True
    fixed_nodes: bool = False

    def to_json(self) -> dict[str, Any]:
        """All but `workers`."""
        plain = {"storage": str(self.storage), "logs": str(self.logs)}
        return {**plain, "preload": self.preload, "fixed_nodes": self.fixed_nodes}

    @staticmethod
    def from_json(workers: WorkersConfig, values: Mapping[str, Any]) -> WorkerSettings:
        """Of what `to_json` gave."""
        paths = Path(values["storage"]), Path(values["logs"])
        return WorkerSettings(workers, *paths, values["preload"], values["fixed_nodes"])
