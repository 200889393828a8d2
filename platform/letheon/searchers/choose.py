"""From a sweep file to its searcher."""

from __future__ import annotations

from letheon.searchers.fixed import GridSearcher, QuasiSearcher, RandomSearcher
from letheon.searchers.proposal import Searcher
from letheon.space import Space
from letheon.spec import SweepSpec

LEARNING = ("surrogate", "optuna")
"""Searchers whose proposals depend on what trials have shown."""


def searcher_of(spec: SweepSpec) -> Searcher:
    """The searcher that the file names."""
    space, settings = Space(spec), spec.searcher
    match settings.name:
        case "grid":
            return GridSearcher(space)
        case "random":
            return RandomSearcher(space, settings.seed)
        case "quasi_random":
            return QuasiSearcher(space, settings.seed)
        case "optuna":
            from letheon.searchers.optuna_searcher import OptunaSearcher

            return OptunaSearcher(space, settings)
    from letheon.searchers.model import ModelSearcher

    return ModelSearcher(space, settings)
