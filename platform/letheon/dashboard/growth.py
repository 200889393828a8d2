"""Growth of the fronts' hypervolume over trial-epochs and slot-seconds, as the dashboard draws it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from letheon.analysis.growth import FrontUpdate, HypervolumeHistory
from letheon.common.numbers import compact
from letheon.journal import Row
from letheon.pareto.front import reports_by_stratum
from letheon.pareto.objectives import Goals


def growth(rows: Sequence[Row], goals: Goals) -> dict[str, list[list[float]]]:
    """Stratum -> steps of [trial-epochs of the whole sweep, slot-seconds, share of the box in [0, 1]], and a last step
    for the sweep's current state.
    """
    fold = HypervolumeHistory(goals)
    steps: dict[str, list[list[float]]] = {stratum: [] for stratum in reports_by_stratum(rows)}
    for row in rows:
        step = fold.take(row)
        if step is not None:
            steps[step.stratum].append(_shown(step))
    return {key: [*found, _shown(fold.last(key))] if fold.sweep.epochs else [] for key, found in steps.items()}


def _shown(step: FrontUpdate) -> list[float]:
    return [step.epochs, round(step.slot_seconds, 1), compact(step.share) or 0.0]
