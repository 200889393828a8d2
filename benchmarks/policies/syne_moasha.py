"""Syne Tune's MOASHA: asynchronous successive halving by non-dominated sorting (Schmucker et al., 2021).

Its scheduler decides on configurations that are drawn without repetition (its own draws would repeat some). It ranks
both objectives of a trial's best checkpoint, in the unit box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.policies.outside import Problem, Untaught, grace
from letheon.pareto.geometry import Point

if TYPE_CHECKING:
    from syne_tune.backend.trial_status import Trial

METRICS = ["forgotten", "utility"]


class Moasha:
    """One bracket, as by default. Rungs are at grace * eta^k."""

    def __init__(self, problem: Problem, grace_epochs: int | str, eta: float) -> None:
        from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

        self._scheduler: Any = MOASHA(
            config_space={},
            metrics=METRICS,
            do_minimize=False,
            time_attr="epoch",
            max_t=problem.max_epochs,
            grace_period=grace(grace_epochs, problem.max_epochs),
            reduction_factor=eta,
            random_seed=problem.seed,
        )
        self._seed = problem.seed
        self._trials: dict[str, Trial] = {}

    def continues(self, trial: str, epoch: int, best: Point) -> bool:
        import numpy as np
        from syne_tune.optimizer.scheduler import SchedulerDecision

        np.random.seed(hash_of(trial, epoch, self._seed))  # it draws the first of equals from numpy's global generator
        verdict = self._scheduler.on_trial_result(
            self._known(trial), {"epoch": epoch, **dict(zip(METRICS, best, strict=True))}
        )
        return bool(verdict == SchedulerDecision.CONTINUE)

    def _known(self, trial: str) -> Trial:
        from datetime import datetime

        from syne_tune.backend.trial_status import Trial

        if trial not in self._trials:
            self._trials[trial] = Trial(trial_id=int(trial[1:]), config={}, creation_time=datetime.fromtimestamp(0))
            self._scheduler.on_trial_add(self._trials[trial])
        return self._trials[trial]


def hash_of(trial: str, epoch: int, seed: int) -> int:
    """32 bits that depend on all three alone."""
    import zlib

    return zlib.crc32(f"{trial} {epoch} {seed}".encode())


def parts(problem: Problem, grace_epochs: int | str = 1, eta: float = 3) -> tuple[Untaught, Moasha]:
    """`grace_epochs`: the first rung, an epoch or `half`."""
    return Untaught(), Moasha(problem, grace_epochs, eta)
