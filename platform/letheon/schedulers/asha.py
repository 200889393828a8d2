"""Asynchronous successive halving, the stopping variant: one rung's decision as a pure function.

Derived from Li et al., "A System for Massively Parallel Hyperparameter Tuning" (arXiv 1810.05934), with stops instead
of promotions, so that nothing is ever paused. Independent of strata, trajectories and collapse: `scheduler` passes it
the records of one rung of one stratum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Decision


@dataclass(frozen=True)
class RungRecord:
    """A trial's value at a rung, higher is better; -inf if infeasible, which ranks below everything feasible.

    Forget quality is not monotone and every epoch leaves a checkpoint, so the value is the best over the epochs up to
    the rung, not the last.
    """

    trial: str
    value: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) or self.value == -math.inf):
            raise ValueError(f"value {self.value} of {self.trial}: must be a finite number, or -inf if infeasible")


def decide(
    records: Sequence[RungRecord], newcomer: RungRecord, rung: int, epoch: int, config: SchedulerConfig
) -> Decision:
    """Whether the newcomer, which reached `rung` with its report of `epoch`, continues.

    It does if fewer than of/eta records are strictly better: the best ceil(of/eta) distinct values continue, and equal
    ones get the same decision. The order of `records` does not matter. A rung with fewer than `min_rung_size` records,
    including the newcomer, stops nobody feasible. An infeasible newcomer is always stopped.
    """
    rank, of = 1 + sum(record.value > newcomer.value for record in records), len(records) + 1
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
    """The metric itself: values are stored with the sign that makes higher better."""
    return f"{-value if config.mode == 'min' else value:.4g}"
