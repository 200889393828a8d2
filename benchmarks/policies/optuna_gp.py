"""Optuna's `GPSampler`: a Gaussian process for each objective, and the expected improvement of the hypervolume.

It has no conditional spaces, so either every hyper-parameter is suggested for every method (`flat`), or each method
has a study of its own and they take turns.

Its 2,048 candidates are for continuous spaces. A stratum of a table has some hundred configurations, so 256 are drawn,
which halves the time of a suggestion. That number has no public name; where Optuna has changed it, its own stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.policies.offers import Offers
from benchmarks.policies.optuna_study import OptunaSuggester
from benchmarks.policies.outside import Patient, Problem
from letheon.pareto.geometry import Point
from letheon.spec.search_space import Values

if TYPE_CHECKING:
    from optuna.samplers import GPSampler

CANDIDATES = 256
_PRIVATE = "_n_preliminary_samples"


def parts(problem: Problem, startup: int = 10, split: bool = False) -> tuple[OptunaSuggester | Turns, Patient]:
    """`startup`: random trials of each study, 10 in Optuna. `split`: a study for each method."""
    if split:
        return Turns(problem, startup), Patient()
    return OptunaSuggester(problem, sampler(problem.seed, startup), flat=True), Patient()


def sampler(seed: int, startup: int) -> GPSampler:
    """With fewer candidates, if Optuna still has that number."""
    from optuna.samplers import GPSampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
    if isinstance(getattr(made, _PRIVATE, None), int):
        setattr(made, _PRIVATE, CANDIDATES)
    return made


class Turns:
    """A study for each method; the method with the fewest trials is next."""

    def __init__(self, problem: Problem, startup: int) -> None:
        every = problem.offers.every[problem.stratum]
        methods = dict.fromkeys(str(values["method"]) for values in every)
        self._offers, self._stratum = problem.offers, problem.stratum
        self._studies = {
            method: OptunaSuggester(_only(problem, method), sampler(problem.seed + i, startup), flat=True)
            for i, method in enumerate(methods)
        }
        self._count = dict.fromkeys(methods, 0)
        self._method: dict[str, str] = {}

    def suggest(self, trial: str) -> Mapping[str, Any]:
        left = {str(values["method"]) for values in self._offers.remaining[self._stratum]}
        method = min((it for it in self._count if it in left), key=lambda it: self._count[it])
        self._count[method] += 1
        self._method[trial] = method
        return self._studies[method].suggest(trial)

    def started(self, trial: str, values: Values) -> None:
        self._studies[self._method[trial]].started(trial, values)

    def ended(self, trial: str, best: Point) -> None:
        self._studies[self._method.pop(trial)].ended(trial, best)


def _only(problem: Problem, method: str) -> Problem:
    """The problem as if the stratum had this method alone."""
    offers = Offers(problem.offers.space, problem.seed)
    own = tuple(values for values in offers.every[problem.stratum] if values["method"] == method)
    offers.every = {**offers.every, problem.stratum: own}
    return replace(problem, offers=offers)
