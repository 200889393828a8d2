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
class Artefact:
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
    base: Artefact | None
    target: Artefact
    retain: Mapping[float, Artefact]
    baseline: Mapping[float, Artefact]
    template: str
    reference_cache: Path

    @property
    def missing(self) -> list[Artefact]:
        """In an order in which they can be made. Longest first: the target model has most rows."""
        models = (*((self.base,) if self.base else ()), self.target, *self.retain.values())
        return [artefact for artefact in (*models, *self.baseline.values()) if artefact.job and not artefact.exists]

    def needs(self, artefact: Artefact) -> tuple[Artefact, ...]:
        """What it is made of, which must be there first."""
        if artefact.kind == "baseline" and artefact.fraction is not None:
            return self.target, self.retain[artefact.fraction]
        return (self.base,) if self.base and artefact.kind != "base" else ()


def content_key(*facts: Any) -> str:
    """A name of 16 hex digits for everything that could change a result."""
    text = json.dumps([CODE_VERSION, *facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
