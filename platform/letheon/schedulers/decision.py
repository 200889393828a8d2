"""The decision on one report, as it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Action = Literal["continue", "stop"]
Outcome = Literal["completed", "pruned", "collapsed", "failed", "stopped"]
"""How a trial ends; `stopped`: the sweep's budget ended it."""


@dataclass(frozen=True)
class Decision:
    """Continue or stop, and why: `reason` is a sentence with the values behind it.

    `rung`, `rank` (1 is best, ties share the better rank) and `of` (records, including this one) are None for a report
    that reached no rung. `front`: index of the non-dominated front, None if a single number is ranked. `violation`: how
    far utility_ratio is below the floor, 0.0 if it is not, None without a floor or a finite ratio. `outcome`: how the
    trial ends if the action is stop, else None.
    """

    action: Action
    epoch: int
    reason: str
    rung: int | None = None
    rank: int | None = None
    of: int | None = None
    front: int | None = None
    violation: float | None = None
    outcome: Outcome | None = None

    def to_json(self) -> dict[str, Any]:
        """The `decision` of a report row."""
        return asdict(self)

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Decision:
        """The inverse of `to_json`."""
        return Decision(**fields)
