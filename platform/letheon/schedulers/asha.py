"""Asynchronous successive halving, the stopping variant: one rung's decision as a pure function.

Derived from Li et al., "A System for Massively Parallel Hyperparameter Tuning" (arXiv 1810.05934), with stops in place
of promotions, so that nothing is ever paused. It does not know about strata, trajectories or collapse: `state` gives
it the records of one rung of one stratum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Decision


@dataclass(frozen=True)
class RungRecord:
    """A trial's value at a rung, higher is better; -inf for an infeasible one, so that it outranks nothing feasible.

    Forget quality is not monotone and every epoch leaves a checkpoint, so the value is the trial's best one over its
    epochs up to the rung, not the last.
    """

    trial: str
    value: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) or self.value == -math.inf):
            raise ValueError(f"value {self.value} of {self.trial}: must be a finite number, or -inf if infeasible")


def standing(records: Sequence[RungRecord], newcomer: RungRecord) -> tuple[int, int]:
    """(rank, of): 1 + how many records are strictly better, and how many there are with the newcomer."""
    return 1 + sum(record.value > newcomer.value for record in records), len(records) + 1


def decide(
    records: Sequence[RungRecord], newcomer: RungRecord, rung: int, epoch: int, config: SchedulerConfig
) -> Decision:
    """Whether the newcomer, which reached `rung` with its report of `epoch`, goes on.

    It does if fewer than of/eta records are strictly better, so that of distinct values the best ceil(of/eta) go on and
    equal ones share their fate; the order of `records` is of no account. A rung with fewer than `min_rung_size`
    records, the newcomer included, stops nobody feasible. An infeasible newcomer is always stopped.
    """
    rank, of = standing(records, newcomer)
    eta = config.reduction_factor
    best = f"rung {rung}: best {config.objective} {_display(newcomer.value, config)} is rank {rank} of {of}"
    if newcomer.value == -math.inf:
        return Decision("stop", epoch, f"rung {rung}: infeasible", rung, rank, of, outcome="collapsed")
    if of < config.min_rung_size:
        return Decision("continue", epoch, f"{best}; fewer than {config.min_rung_size} stop nobody", rung, rank, of)
    if (rank - 1) * eta < of:
        return Decision("continue", epoch, f"{best}, within the best 1/{eta:g}", rung, rank, of)
    return Decision("stop", epoch, f"{best}, outside the best 1/{eta:g}", rung, rank, of, outcome="pruned")


def _display(value: float, config: SchedulerConfig) -> str:
    """Values are held so that higher is better; people see the metric itself."""
    return f"{-value if config.mode == 'min' else value:.4g}"
