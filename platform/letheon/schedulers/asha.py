"""Asynchronous successive halving, the stopping variant: one rung's decision as a pure function.

Derived from Li et al., "A System for Massively Parallel Hyperparameter Tuning" (arXiv 1810.05934), with stops instead
of promotions, so that nothing is ever paused. Independent of strata, trajectories and collapse: `scheduler` passes it
the values of one rung of one stratum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Decision


def decide(values: Sequence[float], newcomer: float, rung: int, epoch: int, config: SchedulerConfig) -> Decision:
    """Whether the newcomer, which reached `rung` with its report of `epoch`, continues.

    `values`: of the other trials at the rung, in any order. Higher is better; -inf is infeasible and ranks below
    everything feasible. Forget quality is not monotone and every epoch leaves a checkpoint, so a value is a trial's
    best over its epochs up to the rung, not its last.

    It does if fewer than of/eta values are strictly better: the best ceil(of/eta) distinct values continue, and equal
    ones get the same decision. A rung with fewer than `min_rung_size` values, including the newcomer, stops nobody
    feasible. An infeasible newcomer is always stopped.
    """
    rank, of = 1 + sum(value > newcomer for value in values), len(values) + 1
    eta = config.reduction_factor
    best = f"rung {rung}: best {config.objective} {_display(newcomer, config)} is rank {rank} of {of}"
    if newcomer == -math.inf:
        return Decision("stop", epoch, f"rung {rung}: infeasible", rung, rank, of, outcome="collapsed")
    if of < config.min_rung_size:
        return Decision("continue", epoch, f"{best}; fewer than {config.min_rung_size} stop nobody", rung, rank, of)
    if (rank - 1) * eta < of:
        return Decision("continue", epoch, f"{best}, within the best 1/{eta:g}", rung, rank, of)
    return Decision("stop", epoch, f"{best}, outside the best 1/{eta:g}", rung, rank, of, outcome="pruned")


def _display(value: float, config: SchedulerConfig) -> str:
    """The metric itself: values are stored with the sign that makes higher better."""
    return f"{-value if config.mode == 'min' else value:.4g}"
