"""Optuna's samplers, asked and told: one study for each stratum, with both objectives maximised.

A trial's values are its best checkpoint; trials are never reported as pruned, which a study of several objectives
cannot use. Listed numbers are integers in their order, so that a sampler sees which values are neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.policies.outside import Problem
from letheon.pareto.geometry import Point
from letheon.spec.search_space import Values

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial


class OptunaSuggester:
    """`flat`: every hyper-parameter is suggested for every method, as samplers without conditional spaces need."""

    def __init__(self, problem: Problem, sampler: BaseSampler, flat: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
        self._lists, self._flat = problem.offers.lists(problem.stratum), flat
        self._distributions = {name: _distribution(values) for name, values in self._lists.items()}
        self._only = str(problem.offers.every[problem.stratum][0]["method"])
        self._of_method: dict[str, set[str]] = {}
        for values in problem.offers.every[problem.stratum]:
            self._of_method.setdefault(str(values["method"]), set()).update(values)
        self._asked: dict[str, tuple[Trial, dict[str, Any]]] = {}
        self._numbers: dict[str, int] = {}

    def suggest(self, trial: str) -> Mapping[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = self._study.ask()
            method = self._value(asked, "method") if "method" in self._lists else self._only
            names = [name for name in self._lists if self._flat or name in self._of_method[str(method)]]
            found = {"method": method, **{name: self._value(asked, name) for name in names if name != "method"}}
        self._asked[trial] = asked, found
        return found

    def started(self, trial: str, values: Values) -> None:
        """If the suggestion was not run, because it had been tried already, the study gets what was run instead."""
        from optuna.trial import TrialState, create_trial

        asked, found = self._asked.pop(trial)
        self._numbers[trial] = asked.number
        if all(value == values.get(name, value) for name, value in found.items()):
            return
        self._study.tell(asked, state=TrialState.FAIL)
        names = [name for name in self._lists if name in values or self._flat]
        chosen = {name: self._internal(name, values.get(name, found.get(name))) for name in names}
        distributions: dict[str, BaseDistribution] = {name: self._distributions[name] for name in names}
        self._study.add_trial(create_trial(state=TrialState.RUNNING, params=chosen, distributions=distributions))
        self._numbers[trial] = len(self._study.get_trials(deepcopy=False)) - 1

    def ended(self, trial: str, best: Point) -> None:
        self._study.tell(self._numbers.pop(trial), best)

    def _value(self, asked: Trial, name: str) -> Any:
        listed = self._lists[name]
        if _by_name(listed):
            return asked.suggest_categorical(name, list(listed))
        return listed[asked.suggest_int(name, 0, len(listed) - 1)]

    def _internal(self, name: str, value: Any) -> Any:
        return value if _by_name(self._lists[name]) else list(self._lists[name]).index(value)


def _by_name(values: Sequence[Any]) -> bool:
    return any(isinstance(value, bool | str) for value in values)


def _distribution(values: Sequence[Any]) -> CategoricalDistribution | IntDistribution:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return CategoricalDistribution(list(values)) if _by_name(values) else IntDistribution(0, len(values) - 1)
