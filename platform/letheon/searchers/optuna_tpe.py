"""Multi-objective TPE: Optuna's sampler on the sweep's history, in an in-memory study that exists for one proposal.

Rebuilding the study takes milliseconds. In return there is no state to save or restore, and a proposal depends on the
sweep file, its number and the history alone. Optuna is imported on first use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from letheon.common.counting import several
from letheon.journal import stratum_of
from letheon.searchers.base import Proposal
from letheon.searchers.encoding import Encoding
from letheon.searchers.history import History, Trial
from letheon.searchers.static import QuasiSearcher
from letheon.searchers.strata import strata_by_priority
from letheon.spec.model import Domain, LogUniform, Scalar, SearcherSpec, Uniform, values_of
from letheon.spec.search_space import SIGNIFICANT_DIGITS, Identity, SearchSpace, Values

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as OptunaTrial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MAX_TRIALS = 300
"""The newest trials go into the study: a proposal's cost grows with their number, and TPE discounts old ones anyway."""
MAX_ASKS = 8
"""Attempts to get an untried configuration from a finite space; then the nearest untried one is taken."""
LOWEST = -1.0
"""Objectives are clipped here: a destroyed model is no worse than a broken one."""
VIOLATION = "violation"
"""The name of the constraint."""


class OptunaSearcher:
    """Starts with a few quasi-random configurations per stratum and then uses TPE.

    One study holds the trials of all strata, each valued in the box of its own stratum. The fraction is not a parameter
    of the study: TPE cannot condition on a given value, and sampling until one had the wanted fraction found no better
    fronts at three times the cost.
    """

    def __init__(self, space: SearchSpace, settings: SearcherSpec) -> None:
        self._space, self._settings = space, settings
        self._encoding = Encoding(space)
        self._anywhere = QuasiSearcher(space, settings.seed)

    def propose(self, number: int, history: History) -> Proposal | None:
        tried = {self._space.identity(trial.config) for trial in history.trials.values()}
        untried = self._space.untried(tried) if self._space.finite else None
        strata = strata_by_priority(history, self._space.spec)
        stratum = next((it for it in strata if untried is None or it in untried), None)
        if stratum is None:
            return None
        known = self.known(history)
        if self._starting(known):
            values = self._with_fraction(self._anywhere.at(number), stratum)
            return Proposal(self._untried_near(values, stratum, tried), "start-up: evenly over the space")
        values = self._ask(self.study(number, known, history.objectives), stratum, tried)
        return Proposal(values, f"optuna: TPE on {several(len(known), 'trial')}")

    def _starting(self, known: Sequence[Trial]) -> bool:
        """Whether too few configurations have results: TPE learns nothing from running and failed trials."""
        measured = {self._space.identity(trial.config) for trial in known if trial.outcome not in (None, "failed")}
        return len(measured) < self._settings.startup_trials * len(self._space.spec.fractions)

    # -- the study

    def known(self, history: History) -> list[Trial]:
        """The trials for the study, oldest first, without those of earlier sweeps that lie outside of this space."""
        earlier = [replace(trial, outcome=trial.outcome or "stopped") for trial in history.earlier]  # none still runs
        every = reversed([*earlier, *history.trials.values()])
        return list(islice((trial for trial in every if self._parameters(trial.config) is not None), MAX_TRIALS))[::-1]

    def study(self, number: int, known: Sequence[Trial], objectives: int = 2) -> Study:
        """The study for proposal `number`, of two or three `objectives`.

        Its trials have their names in the history as user attribute `trial`.
        """
        import optuna

        # The sampler's generator takes a 32-bit integer.
        seed = int(np.random.SeedSequence([self._settings.seed, number]).generate_state(1)[0])
        # One parameter at a time, Optuna's default for several objectives, suits a conditional space. The joint model
        # (`multivariate` with `group`, experimental) found worse fronts on recorded trajectories.
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=0,  # `_starting` decides
            multivariate=False,
            constant_liar=True,
        )
        with _quiet():
            study = optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)
        study.add_trials(self._frozen(trial, objectives) for trial in known)
        return study

    def _frozen(self, trial: Trial, objectives: int) -> FrozenTrial:
        """The trial for Optuna, with its best feasible point or else its least infeasible one and that violation.

        Pruned, stopped and collapsed trials are COMPLETE too, since their checkpoints count for the front: gradient
        ascent passes through its best point and is destroyed an epoch later. Optuna's PRUNED does not fit a study of
        several objectives: TPE ignores such a trial's values, ranks it behind every feasible complete one, and raises
        on intermediate values.
        """
        from optuna.trial import TrialState, create_trial

        state, values, constraints = TrialState.COMPLETE, None, None
        if trial.outcome is None:  # `constant_liar` assumes a bad result, so that it is not proposed again
            state = TrialState.RUNNING
        elif trial.outcome == "failed":
            state = TrialState.FAIL
        else:
            best = trial.best or min(trial.points, key=lambda point: point.violation, default=None)
            # Always finite: a model without numbers counts as the worst.
            values = (LOWEST,) * objectives if best is None else tuple(map(_clipped, best.point))
            constraints = {VIOLATION: trial.violation}
        parameters = self._parameters(trial.config) or {}
        return create_trial(
            state=state,
            values=values,
            params=parameters,
            distributions={name: self._dimensions[name].distribution for name in parameters},
            constraints=constraints,  # public since Optuna 5; TPE reads them without a `constraints_func`
            user_attrs={"trial": trial.name},
        )

    def _parameters(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The configuration as Optuna's parameters; None if it is not in this space."""
        method = str(config["method"])
        if method not in self._space.methods:
            return None
        own = [name for name in (*self._space.lists(method), *self._space.ranges(method)) if name != "forget_fraction"]
        internal = {name: self._dimensions[name].internal(config.get(name)) for name in own}
        if None in internal.values():
            return None
        return {"method": method, **{name: internal[name] for name in self._searched(method)}}

    # -- proposals

    def _ask(self, study: Study, stratum: str, tried: set[Identity]) -> Values:
        """An untried suggestion, if the space is finite. What was asked for counts as running in the study."""
        for _ in range(MAX_ASKS):
            values = self._with_fraction(self._suggested(study.ask()), stratum)
            if self._may_try(values, tried):
                break
        return self._untried_near(values, stratum, tried)

    def _suggested(self, trial: OptunaTrial) -> Values:
        method = str(self._dimensions["method"].suggest(trial, "method"))
        first = {name: listed[0] for name, listed in self._space.lists(method).items()}  # the only value, or replaced
        searched = {name: self._dimensions[name].suggest(trial, name) for name in self._searched(method)}
        return {"method": method, **first, **searched}

    def _searched(self, method: str) -> list[str]:
        """The method's hyper-parameters with more than one value, without the forget fraction."""
        lists = [name for name, listed in self._space.lists(method).items() if len(listed) > 1]
        return [name for name in (*lists, *self._space.ranges(method)) if name != "forget_fraction"]

    @cached_property
    def _dimensions(self) -> Mapping[str, _Dimension]:
        space = self._space
        return {name: _dimension(domain, space.is_whole(name)) for name, domain in space.spec.search.items()}

    def _with_fraction(self, values: Mapping[str, Scalar], stratum: str) -> Values:
        fraction = next(each for each in self._space.spec.fractions if stratum_of(each) == stratum)
        return {**values, "forget_fraction": fraction}

    def _untried_near(self, values: Values, stratum: str, tried: set[Identity]) -> Values:
        """The values or, if a finite space lacks them or has them tried, the nearest untried combination."""
        if self._may_try(values, tried):
            return values
        return self._encoding.nearest(values, self._space.untried(tried)[stratum])

    def _may_try(self, values: Values, tried: set[Identity]) -> bool:
        """True in a space with ranges: there is always something else to try there."""
        return not self._space.finite or (self._space.has(values) and self._space.identity(values) not in tried)


@dataclass(frozen=True)
class _Dimension:
    """A hyper-parameter as a distribution of Optuna. `listed`: its values (numbers ascending) if it is not a range."""

    distribution: BaseDistribution
    listed: tuple[Scalar, ...] = ()
    bounds: tuple[float, float] | None = None

    def internal(self, value: Scalar | None) -> Scalar | None:
        """The value as Optuna has it; None if it is not in the domain."""
        from optuna.distributions import CategoricalDistribution

        if self.bounds is not None:
            low, high = self.bounds
            return value if isinstance(value, int | float) and low <= value <= high else None
        if value is None or value not in self.listed:
            return None
        return value if isinstance(self.distribution, CategoricalDistribution) else self.listed.index(value)

    def suggest(self, trial: OptunaTrial, name: str) -> Scalar:
        """Optuna's suggestion as a value of the domain."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return cast(Scalar, trial.suggest_categorical(name, choices))
            case IntDistribution(low=low, high=high, log=log):
                whole = trial.suggest_int(name, low, high, log=log)
                return self.listed[whole] if self.listed else whole
            case FloatDistribution(low=least, high=most, log=log):
                value = trial.suggest_float(name, least, most, log=log)
                # As in `search_space.between`: it prints and reloads as itself, and rounding does not leave the range.
                return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), least), most)
        raise TypeError(f"{name}: {self.distribution} is not one of the three kinds that `_dimension` makes")


def _dimension(domain: Domain, whole: bool) -> _Dimension:
    """Listed numbers are ordered, so their positions are integers for TPE; names are categories."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Uniform | LogUniform):
        (low, high), log = domain.bounds, isinstance(domain, LogUniform)
        if whole:
            return _Dimension(IntDistribution(math.ceil(low), math.floor(high), log=log), bounds=domain.bounds)
        return _Dimension(FloatDistribution(low, high, log=log), bounds=domain.bounds)
    listed = values_of(domain)
    if any(isinstance(value, bool | str) for value in listed):
        return _Dimension(CategoricalDistribution(listed), listed)
    ascending = tuple(sorted(listed))
    return _Dimension(IntDistribution(0, len(ascending) - 1), ascending)


def _clipped(value: float) -> float:
    return min(max(value, LOWEST), 1.0 - LOWEST)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's announcement of a new study, and restore the user's log level."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
