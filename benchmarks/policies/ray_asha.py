"""Ray's ASHA, on the area of both objectives, which is what Letheon's own scalar rule ranks.

With random configurations or with those of Optuna's TPE: the pair that Ray Tune's documentation shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.policies import optuna_tpe
from benchmarks.policies.outside import Problem, Suggester, Untaught, grace
from letheon.pareto.geometry import Point


@dataclass(frozen=True)
class _Trial:
    """The part of a trial that Ray's ASHA reads."""

    trial_id: str


class RayAsha:
    """One bracket, as by default. It keeps no record of a trial at its last epoch."""

    def __init__(self, problem: Problem, grace_epochs: int | str, eta: float) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self._scheduler: Any = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="area",
            mode="max",
            max_t=problem.max_epochs,
            grace_period=grace(grace_epochs, problem.max_epochs),
            reduction_factor=eta,
        )
        self._trials: dict[str, _Trial] = {}

    def continues(self, trial: str, epoch: int, best: Point) -> bool:
        if trial not in self._trials:
            self._trials[trial] = _Trial(trial)
            self._scheduler.on_trial_add(None, self._trials[trial])
        result = {"epoch": epoch, "training_iteration": epoch, "area": best[0] * best[1]}
        return bool(self._scheduler.on_trial_result(None, self._trials[trial], result) != "STOP")


def parts(
    problem: Problem, grace_epochs: int | str = 1, eta: float = 3, optuna: bool = False
) -> tuple[Suggester, RayAsha]:
    """`grace_epochs`: the first rung, an epoch or `half`. `optuna`: configurations from TPE instead of random ones."""
    suggester: Suggester = optuna_tpe.parts(problem)[0] if optuna else Untaught()
    return suggester, RayAsha(problem, grace_epochs, eta)
