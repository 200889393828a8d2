"""What a sweep may spend, and what it has spent: arithmetic on journal rows. The first limit that is reached ends it.

Time is counted from the rows' own times: a trial's from its start, or from the driver's restart, to its reports. Hours
in which no driver lived cost nothing. Knows no Ray and takes no decision about single trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from letheon.counting import several
from letheon.records.state import begins
from trainables.config import Frozen

Row = Mapping[str, Any]
HOUR = 3600.0


class BudgetSpec(Frozen):
    """How much is tried. Null: no such limit; a grid ends by itself."""

    trials: int | None = Field(default=None, ge=1, description="trials that are started")
    epochs: int | None = Field(default=None, ge=1, description="epochs of all trials together")
    gpu_hours: float | None = Field(default=None, gt=0, description="hours of GPUs that trials hold")
    wall_hours: float | None = Field(default=None, gt=0, description="hours of the sweep, preparation included")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Spent:
    """What has gone so far, in the budget's own units; `slot_hours`: hours that trials held their slot."""

    trials: int = 0
    epochs: int = 0
    gpu_hours: float = 0.0
    wall_hours: float = 0.0
    slot_hours: float = 0.0


def reached(budget: BudgetSpec, spent: Spent) -> str | None:
    """The first limit that is used up, in words; None while there is something left."""
    for name, limit in budget.limits.items():
        used = getattr(spent, name)
        if used >= limit:
            noun = name.replace("_", " ").removesuffix("s")
            return f"budget.{name}: {used:g} of {several(limit, noun)} {'is' if limit == 1 else 'are'} used"
    return None


@dataclass
class Meter:
    """Folds journal rows into what they cost. `gpus`: of one trial, over all its workers."""

    gpus: float = 0.0
    trials: int = 0
    epochs: int = 0
    slot_seconds: float = 0.0
    wall_seconds: float = 0.0
    by_stratum: dict[str, tuple[int, float]] = field(default_factory=dict)
    _strata: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _phase: str = ""
    _last: float | None = None

    def take(self, row: Row) -> None:
        """One more row, in the journal's order. Clocks that were set back add nothing."""
        kind, time = row["kind"], row["time"]
        self._pass(row, time)
        if kind == "trial":
            self.trials += 1
            self._strata[row["trial"]], self._since[row["trial"]] = row["stratum"], time
        elif kind == "report":
            seconds = max(0.0, time - self._since.get(row["trial"], time))
            self._since[row["trial"]] = time
            self.epochs += 1
            self.slot_seconds += seconds
            stratum = self._strata.get(row["trial"], "")
            epochs, total = self.by_stratum.get(stratum, (0, 0.0))
            self.by_stratum[stratum] = epochs + 1, total + seconds
        elif kind == "end":
            self._since.pop(row["trial"], None)

    def _pass(self, row: Row, time: float) -> None:
        """The sweep's own clock: gaps that a start or a resume ends are nobody's."""
        resumed = row["kind"] == "sweep" and begins(self._phase, row["state"])
        if row["kind"] == "sweep":
            self._phase = row["state"]
        if self._last is not None and not resumed:
            self.wall_seconds += max(0.0, time - self._last)
        if resumed:
            self._since = dict.fromkeys(self._since, time)
        self._last = time

    def spent(self, now: float | None = None, reporting: str | None = None) -> Spent:
        """`now` (unix seconds) adds the time since the last row: give it while the sweep runs.

        `reporting`: a trial whose report of now is not among the rows yet, but counts.
        """
        idle = 0.0 if now is None or self._last is None else max(0.0, now - self._last)
        since = now if reporting is None or now is None else self._since.get(reporting, now)
        held = self.slot_seconds + (0.0 if now is None or since is None else max(0.0, now - since))
        return Spent(
            trials=self.trials,
            epochs=self.epochs + (reporting is not None),
            gpu_hours=held * self.gpus / HOUR,
            wall_hours=(self.wall_seconds + idle) / HOUR,
            slot_hours=held / HOUR,
        )

    def seconds_per_epoch(self, stratum: str | None = None) -> float | None:
        """Slot-seconds that an epoch of this stratum (None: of any) has cost so far; None before a report."""
        whole = (self.epochs, self.slot_seconds)
        epochs, seconds = whole if stratum is None else self.by_stratum.get(stratum, (0, 0.0))
        return seconds / epochs if epochs else None
