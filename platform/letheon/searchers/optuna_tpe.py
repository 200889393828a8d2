"""Multi-objective TPE: Optuna's sampler on what the history knows, in a study in memory that lives for one proposal.

Telling a study everything anew costs milliseconds. In return nothing has to be saved, restored or kept in step, and a
proposal is a function of the sweep file, its number and the history alone. Optuna is imported where it is used.
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
from letheon.searchers.history import History, Seen, Trial
from letheon.searchers.static import QuasiSearcher
from letheon.searchers.strata import strata_by_priority
from letheon.spec.model import (
    Domain,
    LogUniform,
    Scalar,
    SearcherSpec,
    Uniform,
    values_of,
)
from letheon.spec.search_space import (
    SIGNIFICANT_DIGITS,
    Identity,
    Range,
    SearchSpace,
    Values,
    is_whole,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as EvalQueries

MOST_TOLD = 300
"""The newest trials are told: the cost of a proposal grows with their number, and TPE lets old ones fade anyway."""
ASKS = 8
"""So often something new is asked for where everything is listed; then the nearest that is untried is taken."""
LOWEST = -1.0
"""Objectives below are all the same: a destroyed model is no worse than a broken one."""
VIOLATION = "violation"
"""The name of the constraint."""


class OptunaSearcher:
    """Begins with a few quasi-random configurations for each stratum, then asks TPE.

    One study holds the trials of all strata, each valued in the box of its own stratum. The fraction is no parameter of
    it: TPE cannot condition on a given one, and sampling until one had the wanted fraction found no better fronts at
    three times the cost.
    """

    def __init__(self, space: SearchSpace, settings: SearcherSpec) -> None:
        self._space, self._settings = space, settings
        self._encoding = Encoding(space)
        self._anywhere = QuasiSearcher(space, settings.seed)

    def propose(self, number: int, history: History) -> Proposal | None:
        tried = {self._space.identity(trial.config) for trial in history.trials.values()}
        for stratum in strata_by_priority(history, self._space.spec):
            if not self._space.finite or any(self._untried(stratum, tried)):
                return self._choose(number, stratum, history, tried)
        return None

    def _choose(self, number: int, stratum: str, history: History, tried: set[Identity]) -> Proposal:
        known = self.known(history)
        if self._starting(known):
            values = self._with_fraction(self._anywhere.propose(number).values, stratum)
            return Proposal(self._untried_near(values, stratum, tried), "start-up: evenly over the space")
        values = self._ask(self.study(number, known), stratum, tried)
        return Proposal(values, f"optuna: TPE on {several(len(known), 'trial')}")

    def _starting(self, known: Sequence[Trial]) -> bool:
        """Whether too few configurations have shown something: those that run or failed tell TPE nothing."""
        shown = {self._space.identity(trial.config) for trial in known if trial.outcome not in (None, "failed")}
        return len(shown) < self._settings.startup_trials * len(self._space.spec.fractions)

    # -- what Optuna is told

    def known(self, history: History) -> list[Trial]:
        """The trials to tell, oldest first; an earlier sweep's that lie outside of this space are left out."""
        earlier = [replace(trial, outcome=trial.outcome or "stopped") for trial in history.earlier]  # none still runs
        newest = (
            trial
            for trial in reversed([*earlier, *history.trials.values()])
            if self._parameters(trial.config) is not None
        )
        return list(islice(newest, MOST_TOLD))[::-1]

    def study(self, number: int, known: Sequence[Trial]) -> Study:
        """The study that proposal `number` asks. Its trials have the history's names as user attribute `trial`."""
        import optuna

        # An integer of 32 bits, which is what the sampler's generator takes.
        seed = int(np.random.SeedSequence([self._settings.seed, number]).generate_state(1)[0])
        # Parameters one by one, Optuna's default for several objectives: a conditional space is no trouble then. The
        # joint model (`multivariate` with `group`, experimental) found worse fronts on recorded trajectories.
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=0,  # the start-up is ours
            multivariate=False,
            constant_liar=True,
        )
        with _quiet():
            study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
        study.add_trials(map(self._told, known))
        return study

    def _told(self, trial: Trial) -> FrozenTrial:
        """The trial as it is: with its best feasible point, else with its least infeasible one and by how much it is.

        That holds for pruned, stopped and collapsed trials too, for the checkpoints they left count for the front like
        any others: ascent passes through its best point and is destroyed an epoch later. Optuna's own PRUNED has no use
        for them in a study of several objectives: TPE ignores such a trial's values, puts it behind every feasible
        complete one, among its like in the order of telling, and raises on intermediate values.
        """
        from optuna.trial import TrialState, create_trial

        state, values, constraints = TrialState.COMPLETE, None, None
        if trial.outcome is None:  # `constant_liar` takes it for a bad one, so that nobody asks for it once more
            state = TrialState.RUNNING
        elif trial.outcome == "failed":
            state = TrialState.FAIL
        else:
            values = _objectives(trial.best or min(trial.points, key=lambda point: point.violation, default=None))
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
        """The configuration in Optuna's terms; None for one that is not of this space."""
        method = str(config["method"])
        if method not in self._space.methods:
            return None
        own = [name for name in (*self._space.lists(method), *self._space.ranges(method)) if name != "forget_fraction"]
        told = {name: self._dimensions[name].told(config.get(name)) for name in own}
        if None in told.values():
            return None
        return {"method": method, **{name: told[name] for name in self._searched(method)}}

    # -- what is asked

    def _ask(self, study: Study, stratum: str, tried: set[Identity]) -> Values:
        """Something new, where everything is listed; what was asked runs already, as far as the study knows."""
        for _ in range(ASKS):
            values = self._with_fraction(self._suggested(study.ask()), stratum)
            if not self._space.finite or self._space.identity(values) not in tried:
                break
        return self._untried_near(values, stratum, tried)

    def _suggested(self, asked: EvalQueries) -> Values:
        method = str(self._dimensions["method"].suggested(asked, "method"))
        values: Values = {"method": method}
        for name, listed in self._space.lists(method).items():
            values[name] = listed[0]  # the only one, or replaced below
        return values | {name: self._dimensions[name].suggested(asked, name) for name in self._searched(method)}

    def _searched(self, method: str) -> list[str]:
        """What there is to choose once the stratum and the method are."""
        lists = [name for name, listed in self._space.lists(method).items() if len(listed) > 1]
        return [name for name in (*lists, *self._space.ranges(method)) if name != "forget_fraction"]

    @cached_property
    def _dimensions(self) -> Mapping[str, _Dimension]:
        return {name: _dimension(name, domain) for name, domain in self._space.spec.search.items()}

    # -- what may be proposed

    def _with_fraction(self, values: Mapping[str, Scalar], stratum: str) -> Values:
        fraction = next(each for each in self._space.spec.fractions if stratum_of(each) == stratum)
        return {**values, "forget_fraction": fraction}

    def _untried_near(self, values: Values, stratum: str, tried: set[Identity]) -> Values:
        """The values themselves, or of a finite space the nearest untried combination; of several the first listed."""
        if not self._space.finite or self._space.identity(values) not in tried:
            return values
        return min(self._untried(stratum, tried), key=lambda other: self._distance(values, other))

    def _distance(self, one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
        """Places apart over all hyper-parameters; what cannot be compared (names, or only one has it) is 1 apart."""
        total = 0.0
        for name in self._space.spec.search:
            here, there = one.get(name), other.get(name)
            if here != there:
                apart = math.nan
                if name != "method":
                    apart = abs(self._encoding.place(name, here) - self._encoding.place(name, there))
                total += 1.0 if math.isnan(apart) else apart
        return total

    def _untried(self, stratum: str, tried: set[Identity]) -> Iterator[Values]:
        return (values for identity, values in self._listed[stratum].items() if identity not in tried)

    @cached_property
    def _listed(self) -> Mapping[str, Mapping[Identity, Values]]:
        """All listed combinations by stratum: of a finite space everything there is."""
        found: dict[str, dict[Identity, Values]] = {stratum_of(each): {} for each in self._space.spec.fractions}
        for values in self._space.combinations:
            found[stratum_of(float(values["forget_fraction"]))][self._space.identity(values)] = values
        return found


@dataclass(frozen=True)
class _Dimension:
    """A hyper-parameter as Optuna sees it. `listed`: its values, if it is one of a list (numbers ascending)."""

    distribution: BaseDistribution
    listed: tuple[Scalar, ...] = ()
    domain: Range | None = None

    def told(self, value: Scalar | None) -> Scalar | None:
        """The value in Optuna's terms; None if it is not in the domain."""
        from optuna.distributions import CategoricalDistribution

        if self.domain is not None:
            low, high = _ends(self.domain)
            return value if isinstance(value, int | float) and low <= value <= high else None
        if value is None or value not in self.listed:
            return None
        named = isinstance(self.distribution, CategoricalDistribution)
        return value if named else self.listed.index(value)

    def suggested(self, asked: EvalQueries, name: str) -> Scalar:
        """What Optuna suggests, in the domain's own terms."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return cast(Scalar, asked.suggest_categorical(name, choices))
            case IntDistribution(low=low, high=high, log=log):
                whole = asked.suggest_int(name, low, high, log=log)
                return self.listed[whole] if self.listed else whole
            case FloatDistribution(low=least, high=most, log=log):
                value = asked.suggest_float(name, least, most, log=log)
                # As `space.between`: it prints and reloads as itself, and rounding leaves no range.
                return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), least), most)
        raise TypeError(f"{name}: {self.distribution} is none of the three kinds that are made here")


def _dimension(name: str, domain: Domain) -> _Dimension:
    """Listed numbers are ordered, so TPE is asked for a position among them; names are just names."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Uniform | LogUniform):
        low, high = _ends(domain)
        log = isinstance(domain, LogUniform)
        if is_whole(name):
            return _Dimension(IntDistribution(math.ceil(low), math.floor(high), log=log), domain=domain)
        return _Dimension(FloatDistribution(low, high, log=log), domain=domain)
    listed = values_of(domain)
    if any(isinstance(value, bool | str) for value in listed):
        return _Dimension(CategoricalDistribution(listed), listed)
    ascending = tuple(sorted(listed))
    return _Dimension(IntDistribution(0, len(ascending) - 1), ascending)


def _ends(domain: Range) -> tuple[float, float]:
    return domain.loguniform if isinstance(domain, LogUniform) else domain.uniform


def _objectives(point: Seen | None) -> tuple[float, float]:
    """Finite numbers always: a model without numbers is as bad as one can be."""
    if point is None:
        return LOWEST, LOWEST
    return _clipped(point.x), _clipped(point.y)


def _clipped(value: float) -> float:
    return min(max(value, LOWEST), 1.0 - LOWEST)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces every new study at level INFO. The level is its users' own: it is put back at once."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
