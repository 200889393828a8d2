"""All that is known of one sweep, wherever it was found: its rows and the file that asked for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from letheon.journal import Row
from letheon.pareto.objectives import Goals
from letheon.schedulers.config import SchedulerConfig
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import axis_of, goals_of

Place = Literal["here", "mlflow"]


@dataclass(frozen=True)
class Record:
    """`key` names the sweep in addresses. `state` and `detail`: as `status` says them. `seconds`: without times it was
    down. `spec` is None where it is missing or of a version that this one cannot read; the rows still tell most.
    `now` (unix seconds) is given while a driver lives. `tracking`: the recorder's word on the tracking store.
    `options`: what a command needs to find the sweep again, such as ` --root …`."""

    key: str
    name: str
    place: Place
    rows: Sequence[Row]
    state: str
    detail: str | None = None
    seconds: float = 0.0
    spec: SweepSpec | None = None
    study: str | None = None
    now: float | None = None
    tracking: Mapping[str, Any] | None = None
    options: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def goals(self) -> Goals:
        """What the front is made of; without a spec, what most sweeps are after."""
        if self.spec is not None:
            return goals_of(self.spec)
        return Goals(x=axis_of("log10_forget_quality", "max"), y=axis_of("model_utility", "max"))

    @property
    def scheduler(self) -> SchedulerConfig | None:
        return None if self.spec is None else self.spec.scheduler

    @property
    def version(self) -> int:
        """Rises with every row."""
        return len(self.rows)
