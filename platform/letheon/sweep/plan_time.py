"""Estimates how long a search will take, from the epochs of an earlier sweep of the same target model.

An upper bound, since trials may be stopped early. Without preparation and audits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from letheon.journal import Journal, JournalError, Row, SweepHistory
from letheon.journal.usage import HOUR


@dataclass(frozen=True)
class Estimate:
    """`seconds`: upper bound, None if unknown. `limit`: what sets it: `epochs` or a limit of the budget.
    `seconds_per_epoch`: in one slot, as measured in `sweep`."""

    seconds: float | None = None
    limit: str | None = None
    seconds_per_epoch: float | None = None
    sweep: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(root: Path, target: str, budget: Mapping[str, float], epochs: int | None, slots: int) -> Estimate:
    """`target`: digest of the target model. `epochs`: maximum of all trials together."""
    sweep, cost = _measured(root, target)
    bounds: dict[str, float] = {}
    if epochs and cost is not None and slots:
        bounds["epochs"] = epochs * cost / slots
    if "wall_hours" in budget:
        bounds["budget.wall_hours"] = budget["wall_hours"] * HOUR
    limit = min(bounds, key=lambda name: bounds[name], default=None)
    return Estimate(None if limit is None else bounds[limit], limit, cost, sweep)


def _measured(root: Path, target: str) -> tuple[str | None, float | None]:
    """The latest sweep of this target model with reports, and its seconds per epoch."""
    for file in sorted((root / "sweeps").glob("*/journal.jsonl"), key=lambda it: it.stat().st_mtime, reverse=True):
        try:
            rows = Journal.read(file)
        except (JournalError, OSError):
            continue
        if target in _targets(rows) and (cost := SweepHistory(rows).seconds_per_epoch()) is not None:
            return file.parent.name, cost
    return None, None


def _targets(rows: list[Row]) -> Iterator[str]:
    yield from (row["info"]["target_digest"] for row in rows if "target_digest" in (row.get("info") or {}))
