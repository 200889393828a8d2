"""What a sweep prepares before its first trial: folders named by a hash of what they are made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.storage.atomic_folder import MARKER

if TYPE_CHECKING:
    from trainables.config import Frozen


CODE_VERSION = 1


EVALUATION_VERSION = 3


@dataclass(frozen=True)
class Artifact:
    """Something that must exist. `job` is None for what the user brought."""

    kind: str
    fraction: float | None
    key: str
    path: Path
    job: Frozen | None

    @property
    def exists(self) -> bool:
        return self.path.exists() if self.path.suffix == ".json" else (self.path / MARKER).exists()


@dataclass(frozen=True)
class Prepared:
    """Where everything lies; `data` is the benchmark's digest. Made by `layout`; complete when `missing` is empty."""

    data: str
    base: Artifact | None
    target: Artifact
    retain: Mapping[float, Artifact]
    baseline: Mapping[float, Artifact]
    template: str
    reference_cache: Path

    @property
    def missing(self) -> list[Artifact]:
        """In an order in which they can be made. Longest first: the target model has most rows."""
        models = (*((self.base,) if self.base else ()), self.target, *self.retain.values())
        return [artifact for artifact in (*models, *self.baseline.values()) if artifact.job and not artifact.exists]

    def needs(self, artifact: Artifact) -> tuple[Artifact, ...]:
        """What it is made of, which must be there first."""
        if artifact.kind == "baseline" and artifact.fraction is not None:
            return self.target, self.retain[artifact.fraction]
        return (self.base,) if self.base and artifact.kind != "base" else ()


def content_key(*facts: Any) -> str:
    """A name of 16 hex digits for everything that could change a result."""
    text = json.dumps([CODE_VERSION, *facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
