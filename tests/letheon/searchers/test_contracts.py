"""Every searcher fulfils the contract."""

from __future__ import annotations

from letheon.searchers.base import Searcher
from letheon.searchers.bayesian import BayesianSearcher
from letheon.searchers.optuna_tpe import OptunaSearcher
from letheon.searchers.static import GridSearcher, QuasiSearcher, RandomSearcher
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace
from tests.letheon.searchers.searcher_contract import SearcherContract


class TestGrid(SearcherContract):
    takes_ranges = False

    def searcher(self, spec: SweepSpec) -> Searcher:
        return GridSearcher(SearchSpace(spec))


class TestRandom(SearcherContract):
    exhausts = False

    def searcher(self, spec: SweepSpec) -> Searcher:
        return RandomSearcher(SearchSpace(spec), spec.searcher.seed)


class TestQuasi(SearcherContract):
    def searcher(self, spec: SweepSpec) -> Searcher:
        return QuasiSearcher(SearchSpace(spec), spec.searcher.seed)


class TestModel(SearcherContract):
    def searcher(self, spec: SweepSpec) -> Searcher:
        return BayesianSearcher(SearchSpace(spec), spec.searcher)


class TestOptuna(SearcherContract):
    def searcher(self, spec: SweepSpec) -> Searcher:
        return OptunaSearcher(SearchSpace(spec), spec.searcher)
