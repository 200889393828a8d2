"""The configuration of a scheduler: frozen, validated, independent of sweep files."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from letheon.pareto.objectives import UTILITY_FLOOR, Goals, is_probe
from trainables.config import Frozen, ProbeConfig


class CollapseConfig(Frozen):
    """Stop a trial whose utility_ratio stays below `floor` for `patience` reports in a row without recovering.

    The defaults stop no configuration of the forgetting table with later checkpoints on its front (docs/search.md).
    """

    floor: float = Field(default=UTILITY_FLOOR, gt=0, le=1, description="of the target model's utility")
    patience: int = Field(default=3, ge=1)
    recovery: float = Field(default=0.02, gt=0, description="a rise by so much between two reports is a recovery")


class SchedulerConfig(Frozen):
    """Rungs and rules of one sweep, equal for every stratum."""

    name: Literal["pareto_asha", "asha", "none"] = "pareto_asha"
    max_epochs: int = Field(default=10, ge=1)
    grace_epochs: int = Field(default=1, ge=1, description="the first rung")
    reduction_factor: float = Field(default=3, gt=1, description="the best 1/reduction_factor of a rung continue")
    metric: str | None = Field(default=None, description="null: area of all objectives")
    mode: Literal["max", "min"] = "max"
    min_rung_size: int = Field(default=3, ge=1, description="a rung with fewer records stops nobody")
    collapse: CollapseConfig | None = Field(default_factory=CollapseConfig)
    evaluate: Literal["full", "decision"] = Field(
        default="full",
        description="full: all metrics after each epoch; decision: those that decide, the rest for front candidates",
    )

    probe: ProbeConfig | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="a cheap attack on running trials at each rung; null: trials are attacked after the search only",
    )

    @model_validator(mode="after")
    def _grace_fits(self) -> SchedulerConfig:
        if self.grace_epochs > self.max_epochs:
            rule = f"must be <= max_epochs {self.max_epochs}; lower it or raise max_epochs"
            raise ValueError(f"grace_epochs {self.grace_epochs}: {rule}")
        return self

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials are compared: grace_epochs * reduction_factor^k below max_epochs, rounded up, and
        max_epochs itself."""
        if self.name == "none":
            return ()
        levels: list[int] = []
        level = float(self.grace_epochs)
        while level < self.max_epochs:
            levels.append(math.ceil(round(level, 9)))
            level *= self.reduction_factor
        return tuple(sorted({*levels, self.max_epochs}))

    @property
    def mean_epochs(self) -> float:
        """Epochs per trial if 1/reduction_factor of a rung's trials continue and none collapses."""
        starts = (0, *self.rungs[:-1])
        spans = zip(starts, self.rungs or (self.max_epochs,), strict=True)
        return sum((end - start) / self.reduction_factor**rung for rung, (start, end) in enumerate(spans))

    @property
    def probe_epochs(self) -> tuple[int, ...]:
        """Epochs after which trials are probed: the rungs, or every epoch without rungs; none without a probe."""
        if self.probe is None:
            return ()
        return self.rungs or tuple(range(1, self.max_epochs + 1))

    @property
    def objective(self) -> str:
        """The name of the ranked value in reasons."""
        return self.metric or "area"

    def required(self, goals: Goals, probed: bool = True) -> tuple[str, ...]:
        """Metrics that a report must have. `probed`: whether it is of an epoch that is probed."""
        ranked = (self.metric,) if self.metric else goals.ranked
        names = tuple(name for name in ranked if probed or not is_probe(name))
        return (*names, "utility_ratio") if self.collapse and "utility_ratio" not in names else names
