"""The searchers by name."""

from __future__ import annotations

from letheon.searchers.base import Searcher
from letheon.searchers.static import GridSearcher, QuasiSearcher, RandomSearcher
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace


def searcher_of(spec: SweepSpec, space: SearchSpace) -> Searcher:
    """The searcher that the sweep file names, on this search space of the sweep."""
    settings = spec.searcher
    match settings.name:
        case "grid":
            return GridSearcher(space)
        case "random":
            return RandomSearcher(space, settings.seed)
        case "quasi_random":
            return QuasiSearcher(space, settings.seed)
        case "optuna":
            from letheon.searchers.optuna_tpe import OptunaSearcher

            return OptunaSearcher(space, settings)
    from letheon.searchers.bayesian import BayesianSearcher

    return BayesianSearcher(space, settings)
