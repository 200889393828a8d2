"""Artifacts: models and baseline evaluations that a sweep needs, each named by a hash of everything it depends on."""

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
"""Raise it if an equal recipe would give another model than before."""
EVALUATION_VERSION = 3
"""Raise it if an equal evaluation would give more or other metrics of a model than before."""

LOG = "log"
"""Kind of an artifact that is a published evaluation log in place of a retain model."""


@dataclass(frozen=True)
class Artifact:
    """A model folder or, for a baseline or a log, a file. `job` builds it; None if the user provides it."""

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
    """All artifacts of a sweep; `data` is the benchmark's digest. Complete when `missing` is empty."""

    data: str
    base: Artifact | None
    target: Artifact
    retain: Mapping[float, Artifact]
    baseline: Mapping[float, Artifact]
    template: str
    reference_cache: Path

    @property
    def all(self) -> list[Artifact]:
        """Each after those it needs; the target model, which takes longest, before retain models.

        Artifacts that the user provides are left out.
        """
        models = (*((self.base,) if self.base else ()), self.target, *self.retain.values())
        return [artifact for artifact in (*models, *self.baseline.values()) if artifact.job]

    @property
    def missing(self) -> list[Artifact]:
        """Artifacts to build, in the order of `all`."""
        return [artifact for artifact in self.all if not artifact.exists]

    def needs(self, artifact: Artifact) -> tuple[Artifact, ...]:
        """The artifacts that it is built from."""
        if artifact.kind == "baseline" and artifact.fraction is not None:
            return self.target, self.retain[artifact.fraction]
        return (self.base,) if self.base and artifact.kind != "base" else ()


def content_key(*facts: Any) -> str:
    """16 hex digits: a hash of `facts`, which should be everything that could change a result."""
    text = json.dumps([CODE_VERSION, *facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_of(models: Path, prefix: str, fraction: float | None, key: str) -> Path:
    """`models/retain-0.1-<key>`; the fraction is left out if it is None."""
    return models / f"{prefix}{'' if fraction is None else f'-{fraction:g}'}-{key}"
