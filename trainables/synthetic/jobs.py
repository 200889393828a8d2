"""The jobs of a worker for the synthetic experiment, as data. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainables.config import Frozen


class SyntheticModelsJob(Frozen):
    """Pre-train one model per seed: target models (`fraction` null) or the retain models of a fraction."""

    kind: Literal["synthetic_models"] = "synthetic_models"
    alpha: float
    seeds: tuple[int, ...] = Field(min_length=1)
    fraction: float | None
    folder: str


class SyntheticBaselineJob(Frozen):
    """Measure target and retain models of a fraction."""

    kind: Literal["synthetic_baseline"] = "synthetic_baseline"
    alpha: float
    seeds: tuple[int, ...] = Field(min_length=1)
    fraction: float
    target: str
    retain: str
    file: str
