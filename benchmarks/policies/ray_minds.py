"""Ray's own scheduler and searchers in place of the sweep's controller, fed one result after another as Tune does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from letheon.journal import Row, stratum_of
from letheon.pareto.objectives import Goals
from letheon.schedulers.decision import Decision
from letheon.search.memory_journal import MemoryJournal
from letheon.search.trajectories import Table
from letheon.searchers.encoding import Encoding
from letheon.searchers.static import RandomSearcher
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace, trial_name

GOALS = Goals()
METRICS = ("log10_forget_quality", "model_utility")


@dataclass(frozen=True)
class _Trial:
    """The part of a trial that Ray's ASHA reads."""

    trial_id: str


class RayMind:
    """`suggest` gives the next configuration, or None; `learn` receives a trial's last result."""

    def __init__(
        self,
        ledger: MemoryJournal,
        suggest: Callable[[str], dict[str, Any] | None],
        learn: Callable[[str, dict[str, float]], None],
        **asha: Any,
    ) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self.end_reason: str | None = None
        self._ledger, self._suggest, self._learn = ledger, suggest, learn
        self._asha: Any = AsyncHyperBandScheduler(time_attr="epoch", metric="area", mode="max", **asha)
        self._trials: dict[str, _Trial] = {}

    def next_trial(self) -> Row | None:
        name = trial_name(len(self._trials))
        config = self._suggest(name)
        if config is None:
            self.end_reason = "everything was tried"
            return None
        self._trials[name] = _Trial(name)
        self._asha.on_trial_add(None, self._trials[name])
        return self._ledger.append("trial", trial=name, stratum=stratum_of(config["forget_fraction"]), config=config)

    def report(self, trial: str, epoch: int, metrics: dict[str, float]) -> Decision:
        """ASHA ranks one number: the area of both objectives, which is what Letheon's own scalar rule ranks."""
        area = GOALS.area(metrics)
        result = {"epoch": epoch, "training_iteration": epoch, "area": area, **metrics}
        verdict = self._asha.on_trial_result(None, self._trials[trial], result)
        stop = verdict == "STOP"
        decision = Decision("stop" if stop else "continue", epoch, "Ray's ASHA")
        self._ledger.append("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision.to_json())
        if stop:
            self._asha.on_trial_complete(None, self._trials[trial], result)
            self._learn(trial, metrics)
        return decision

    def mark_running(self, trials: Collection[str]) -> None:
        """Ray's parts cannot be opened again from rows; these sweeps are never killed."""

    @staticmethod
    def random_asha(spec: SweepSpec, table: Table, ledger: MemoryJournal, seed: int, **asha: Any) -> RayMind:
        """Random configurations without repetition, one ASHA for the sweep (grace 1, eta 3)."""
        space = table.space(spec)
        searcher = RandomSearcher(space, seed)
        settings = {"grace_period": 1, "reduction_factor": 3, **asha}

        def suggest(name: str) -> dict[str, Any] | None:
            number = int(name[1:])
            if number >= len(space.combinations):
                return None
            return _whole(space, dict(searcher.propose(number).values))

        return RayMind(ledger, suggest, lambda name, metrics: None, max_t=table.max_epochs, **settings)

    @staticmethod
    def gentle_asha(spec: SweepSpec, table: Table, ledger: MemoryJournal, seed: int) -> RayMind:
        """The same with the rungs that Letheon's defaults have."""
        return RayMind.random_asha(spec, table, ledger, seed, grace_period=5, reduction_factor=2)

    @staticmethod
    def optuna_asha(spec: SweepSpec, table: Table, ledger: MemoryJournal, seed: int) -> RayMind:
        """Ray's OptunaSearch on both objectives, with a conditional define-by-run space; trials report their last."""
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("ray.tune.search.optuna.optuna_search").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        space = table.space(spec)
        recorded = Encoding(space)
        search: Any = OptunaSearch(space=_by_run(space), metric=list(METRICS), mode=["max", "max"], seed=seed)

        def suggest(name: str) -> dict[str, Any]:
            values = search.suggest(name)
            return _whole(space, values if space.has(values) else recorded.nearest(values, space.combinations))

        def learn(name: str, metrics: dict[str, float]) -> None:
            search.on_trial_complete(name, {metric: metrics[metric] for metric in METRICS})

        return RayMind(ledger, suggest, learn, grace_period=1, reduction_factor=3, max_t=table.max_epochs)


def _by_run(space: SearchSpace) -> Callable[[Any], None]:
    def define(trial: Any) -> None:
        method = trial.suggest_categorical("method", list(space.methods))
        for name, values in space.lists(method).items():
            trial.suggest_categorical(name, list(values))

    return define


def _whole(space: SearchSpace, values: dict[str, Any]) -> dict[str, Any]:
    """With what is not searched."""
    return space.hyperparameters(values, space.spec.seeds[0]).model_dump(exclude_none=True)
