"""What the literature found to be good, as the first configurations of each stratum.

Untuned defaults are far from the optimum (a learning rate of 1e-5 among them), but published grids agree on where to
begin. A learning rate belongs to its model, so where a published one lies outside the searched range, its place in the
range that was searched there is taken over instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from letheon.records import stratum_of
from letheon.searchers.encoding import Encoding
from letheon.searchers.history import History
from letheon.searchers.proposal import Proposal, Searcher
from letheon.searchers.strata import strata_in_turn
from letheon.space import Space, Values, between, is_whole
from letheon.spec import LogUniform, Scalar, Uniform, values_of


@dataclass(frozen=True)
class Prior:
    """`values` as published; `place` is where the learning rate lay in its logarithmic range, 0 to 1."""

    method: str
    learning_rate: float
    place: float
    values: Mapping[str, float]
    source: str


PRIORS: Sequence[Prior] = (
    Prior(
        "npo_rt",
        5e-5,
        0.8,
        {"beta": 0.1, "retain_weight": 1.5},
        "best of 54-run grids on 1B, 3B and 8B Llamas, forget10",
    ),
    Prior(
        "simnpo", 1e-5, 0.5, {"beta": 4.5, "margin": 0.0, "retain_weight": 8.0}, "SimNPO, arXiv 2410.07163, forget10"
    ),
)


class PriorSearcher:
    """Another searcher, whose first proposals in each stratum are the priors that the space has."""

    def __init__(self, space: Space, inner: Searcher) -> None:
        self._space, self._inner = space, inner
        self._encoding = Encoding(space)
        self._priors = [prior for prior in PRIORS if prior.method in space.methods]

    def propose(self, number: int, history: History) -> Proposal | None:
        for stratum in strata_in_turn(history, self._space.spec):
            tried = [trial.config for trial in history.trials.values() if trial.stratum == stratum]
            for prior in self._priors[len(tried) :]:
                values = self._fitted(prior, stratum)
                if not any(all(config.get(name) == value for name, value in values.items()) for config in tried):
                    return Proposal(values, f"prior: {prior.source}")
            break
        return self._inner.propose(number, history)

    def _fitted(self, prior: Prior, stratum: str) -> Values:
        """The nearest that the space has."""
        fraction = next(each for each in self._space.spec.fractions if stratum_of(each) == stratum)
        found: Values = {"method": prior.method, "forget_fraction": fraction}
        having = {**self._space.lists(prior.method), **self._space.ranges(prior.method)}
        for name in self._space.spec.search:
            if name == "learning_rate":
                found[name] = self._learning_rate(prior)
            elif name not in found and name in having:
                found[name] = self._nearest(name, prior.values.get(name))
        return found

    def _learning_rate(self, prior: Prior) -> Scalar:
        place = self._encoding.place("learning_rate", prior.learning_rate)
        return self._at("learning_rate", place if 0 <= place <= 1 else prior.place)

    def _nearest(self, name: str, value: float | None) -> Scalar:
        place = 0.5 if value is None else self._encoding.place(name, value)
        return self._at(name, min(max(place, 0.0), 1.0))

    def _at(self, name: str, place: float) -> Scalar:
        domain = self._space.spec.search[name]
        if isinstance(domain, Uniform | LogUniform):
            return between(domain, min(place, 1.0 - 1e-12), whole=is_whole(name))
        listed = values_of(domain)
        return min(listed, key=lambda each: abs(self._encoding.place(name, each) - place))
