"""Estimates how long a sweep will take by stage, from earlier work under the same root, and says how far off it was.

The search is an upper bound, since trials may be stopped early. The audit is as long as that of an earlier sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from letheon.analysis.time_left import duration
from letheon.common.numbers import is_finite
from letheon.journal import Journal, JournalError, Row, SweepHistory
from letheon.journal.usage import HOUR
from letheon.preparation.artifacts import Prepared
from letheon.preparation.seconds import preparation_seconds
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import trial_count


@dataclass(frozen=True)
class Estimate:
    """`seconds`: upper bound of the search, None if unknown. `limit`: what sets it: `epochs` or a limit of the budget.
    `seconds_per_epoch`: in one slot, as measured in `sweep`. `preparation`, `audit`: seconds, None if unknown.
    `gpu_hours`: of the known stages."""

    seconds: float | None = None
    limit: str | None = None
    seconds_per_epoch: float | None = None
    sweep: str | None = None
    preparation: float | None = None
    audit: float | None = None
    gpu_hours: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def stages(self) -> dict[str, float]:
        """The known stages, as the journal keeps them."""
        found = {"preparation": self.preparation, "search": self.seconds, "audit": self.audit}
        return {name: round(seconds, 1) for name, seconds in found.items() if seconds is not None}


def epochs_at_most(spec: SweepSpec) -> int | None:
    """The epochs of all trials together if none is stopped early; None if only hours limit them."""
    trials = trial_count(spec)
    most = [count for count in (trials and trials * spec.scheduler.max_epochs, spec.budget.epochs) if count]
    return min(most, default=None)


def estimate(spec: SweepSpec, root: Path, prepared: Prepared, slots: int) -> Estimate:
    """The estimate for `slots` trials at a time."""
    epochs, budget = epochs_at_most(spec), spec.budget.limits
    sweep, cost, audits = _measured(root, prepared.target.key)
    bounds: dict[str, float] = {}
    if epochs and cost is not None and slots:
        bounds["epochs"] = epochs * cost / slots
    if "wall_hours" in budget:
        bounds["budget.wall_hours"] = budget["wall_hours"] * HOUR
    limit = min(bounds, key=lambda name: bounds[name], default=None)
    search = None if limit is None else bounds[limit]
    preparation = preparation_seconds(spec, root, prepared, slots)
    audit = None if not spec.audit or audits is None or not slots else audits / slots
    gpus = slots * spec.trial.workers_config.workers * spec.trial.workers_config.gpus_per_worker
    known = [seconds for seconds in (preparation, search, audit) if seconds is not None]
    return Estimate(
        search, limit, cost, sweep, preparation, audit, sum(known) * gpus / HOUR if gpus and known else None
    )


def how_far_off(rows: list[Row]) -> str | None:
    """`preparation 45 s (estimated 40 s), search 2 min 3 s (at most 3 min)`; None without an estimate."""
    history = SweepHistory(rows)
    expected: Mapping[str, float] = history.info.get("estimate") or {}
    took = {"preparation": history.preparation, "search": history.search}
    parts = [
        f"{stage} {duration(seconds)} ({'at most' if stage == 'search' else 'estimated'} {duration(expected[stage])})"
        for stage, seconds in took.items()
        if expected.get(stage)
    ]
    return ", ".join(parts) or None


def _measured(root: Path, target: str) -> tuple[str | None, float | None, float | None]:
    """The latest sweep of this target model with reports, its seconds per epoch, and the seconds of its audits."""
    for file in sorted((root / "sweeps").glob("*/journal.jsonl"), key=lambda it: it.stat().st_mtime, reverse=True):
        try:
            rows = Journal.read(file)
        except (JournalError, OSError):
            continue
        history = SweepHistory(rows)
        if history.info.get("target_digest") == target and (cost := history.seconds_per_epoch()) is not None:
            return file.parent.name, cost, _audit_seconds(rows)
    return None, None, None


def _audit_seconds(rows: list[Row]) -> float | None:
    found = [row["metrics"].get("audit_seconds") for row in rows if row["kind"] == "audit"]
    return sum(filter(is_finite, found)) or None
