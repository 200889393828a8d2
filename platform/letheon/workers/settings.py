"""Settings that all worker groups of a sweep share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.config import WorkersConfig


@dataclass(frozen=True)
class WorkerSettings:
    """`storage`: Ray Train's folder, shared by all nodes. `preload`: import what language models need before the first
    job. `fixed_nodes`: no node will join."""

    workers: WorkersConfig
    storage: Path
    logs: Path
    preload: bool = True
    fixed_nodes: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields except `workers`."""
        paths = {"storage": str(self.storage), "logs": str(self.logs)}
        return {**paths, "preload": self.preload, "fixed_nodes": self.fixed_nodes}

    @staticmethod
    def from_json(workers: WorkersConfig, values: Mapping[str, Any]) -> WorkerSettings:
        """The inverse of `to_json`."""
        paths = Path(values["storage"]), Path(values["logs"])
        return WorkerSettings(workers, *paths, values["preload"], values["fixed_nodes"])
