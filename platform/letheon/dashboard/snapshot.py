"""One sweep at one moment, local or from the tracking store: its rows and its sweep file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from letheon.journal import Row
from letheon.pareto.objectives import Goals
from letheon.schedulers.config import SchedulerConfig
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of

Place = Literal["here", "mlflow"]
Generations = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A trial's samples and audits, in the shapes of `letheon.analysis.samples`."""


@dataclass(frozen=True)
class SweepSnapshot:
    """`key`: the sweep in addresses. `state`, `detail`: as `status` has them. `seconds`: running time, without pauses.
    `spec`: None if the file is missing or this version cannot read it. `now` (unix seconds): set while a driver is
    alive. `tracking`: health of the tracking store. `options`: ` --root …` for printed commands, if needed."""

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
        """The objectives of the front; without a spec, forget quality and utility."""
        return Goals() if self.spec is None else goals_of(self.spec)

    @property
    def scheduler(self) -> SchedulerConfig | None:
        return None if self.spec is None else self.spec.scheduler
