"""Asynchronous successive halving by Pareto rank, the stopping variant: one rung's decision as a pure function.

Derived from multi-objective asynchronous successive halving (Schmucker et al. 2021, arXiv 2106.12639) with feasibility
first: rank = (infeasible?, violation, index of the non-dominated front, spread inside the front), see `rung.Rung`.
Independent of strata, trajectories and collapse: `scheduler` passes it the records of one rung of one stratum.
"""

from __future__ import annotations

import math

from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Action, Decision, Outcome
from letheon.schedulers.rung import Rung, Standing


def decide(records: Rung, newcomer: Standing, rung: int, epoch: int, config: SchedulerConfig) -> Decision:
    """Whether the newcomer, which reached `rung` with its report of `epoch`, continues.

    It does if fewer than of/eta records are strictly better; the order of the records does not matter. A rung with
    fewer than `min_rung_size` records, including the newcomer, stops nobody but models whose metrics are not finite.
    """
    place, eta = records.place(newcomer), config.reduction_factor

    def verdict(action: Action, reason: str, outcome: Outcome | None = None) -> Decision:
        return Decision(action, epoch, reason, rung, place.rank, place.of, place.front, outcome=outcome)

    if newcomer.violation == math.inf:
        return verdict("stop", f"rung {rung}: infeasible", "collapsed")
    where = f"on front {place.front}" if newcomer.feasible else f"infeasible by {newcomer.violation:.3g}"
    best = f"rung {rung}: rank {place.rank} of {place.of}, {where}"
    if place.of < config.min_rung_size:
        return verdict("continue", f"{best}; fewer than {config.min_rung_size} stop nobody")
    if (place.rank - 1) * eta < place.of:
        return verdict("continue", f"{best}, within the best 1/{eta:g}")
    return verdict("stop", f"{best}, outside the best 1/{eta:g}", "pruned")
