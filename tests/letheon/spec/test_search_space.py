"""Samples lie in their bounds, are equal on every machine, cover lists evenly, and fit their method."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.pareto.objectives import Goals
from letheon.search.controller import SweepController
from letheon.search.memory_journal import MemoryJournal
from letheon.searchers.history import History
from letheon.searchers.static import GridSearcher
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace, trial_count
from tests.letheon.small_sweep import python, sample
from trainables.config import Hyperparameters
from trainables.methods import METHODS

SEARCH: dict[str, Any] = {
    "method": {"choice": ["ga", "ga_rt", "npo", "npo_rt"]},
    "forget_fraction": {"choice": [0.1, 0.25]},
    "learning_rate": {"loguniform": [1e-5, 1e-3]},
    "beta": {"loguniform": [0.02, 0.2]},
    "retain_weight": {"uniform": [1, 5]},
}


def spec_of(search: dict[str, Any] | None = None, **fields: Any) -> SweepSpec:  # any field of a sweep
    fields = {"budget": {"trials": 16}, **fields, "searcher": {"name": "random", **fields.get("searcher", {})}}
    return SweepSpec.model_validate({"name": "x", "search": search or SEARCH, **fields})


def all_trials(spec: SweepSpec) -> list[Hyperparameters]:
    """All trials that the sweep starts."""
    controller = SweepController(spec, MemoryJournal())
    return [Hyperparameters.model_validate(row["config"]) for row in iter(controller.next_trial, None)]


ranges = st.tuples(st.floats(1e-8, 1e4), st.floats(1e-8, 1e4)).filter(lambda pair: pair[0] < pair[1])


@settings(max_examples=200, deadline=None)
@given(
    bounds=ranges, kind=st.sampled_from(["uniform", "loguniform"]), index=st.integers(0, 10**6), seed=st.integers(0, 99)
)
def test_values_lie_in_their_range_and_print_as_themselves(
    bounds: tuple[float, float], kind: str, index: int, seed: int
) -> None:
    search = {**SEARCH, "method": "npo", "learning_rate": {kind: bounds}}
    value = sample(spec_of(search, searcher={"seed": seed}), index).learning_rate
    assert bounds[0] <= value <= bounds[1]
    assert value in bounds or float(f"{value:.6g}") == value


@settings(max_examples=100, deadline=None)
@given(low=st.integers(1, 50), width=st.integers(1, 50), kind=st.sampled_from(["uniform", "loguniform"]))
def test_whole_numbers_stay_whole_and_reach_both_ends(low: int, width: int, kind: str) -> None:
    spec = spec_of({**SEARCH, "batch_size": {kind: [low, low + width]}})
    values = [sample(spec, index).batch_size for index in range(40)]
    assert {type(value) for value in values} == {int}
    assert all(low <= value <= low + width for value in values)
    two = spec_of({**SEARCH, "batch_size": {kind: [low, low + 1]}})
    assert {sample(two, index).batch_size for index in range(60)} == {low, low + 1}


def test_a_range_is_covered_evenly_on_its_own_scale() -> None:
    spec = spec_of()
    places = [math.log(sample(spec, i).learning_rate / 1e-5) / math.log(1e-3 / 1e-5) for i in range(4000)]
    counts = Counter(int(place * 10) for place in places)
    assert set(counts) == set(range(10))
    assert max(abs(count - 400) for count in counts.values()) < 5 * math.sqrt(400)


@pytest.mark.parametrize("seed", range(5))
def test_each_combination_comes_once_before_any_comes_twice(seed: int) -> None:
    spec = spec_of(searcher={"seed": seed})
    assert SearchSpace(spec).combination_count == 8
    decks = [
        [(hyper.method, hyper.forget_fraction) for hyper in (sample(spec, 8 * deck + i) for i in range(8))]
        for deck in range(6)
    ]
    assert all(len(set(deck)) == 8 for deck in decks)
    assert len({tuple(deck) for deck in decks}) > 1  # each deck is shuffled differently


def test_listed_values_of_a_hyper_parameter_count_only_where_it_exists() -> None:
    spec = spec_of({**SEARCH, "beta": {"choice": [0.05, 0.1, 0.2]}, "forget_fraction": 0.1})
    assert SearchSpace(spec).combination_count == 1 + 1 + 3 + 3
    deck = Counter((hyper.method, hyper.own.get("beta")) for hyper in (sample(spec, i) for i in range(8)))
    assert max(deck.values()) == 1


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_gets_exactly_the_hyper_parameters_that_it_declares(method: str) -> None:
    hyper = sample(spec_of({**SEARCH, "method": method}), 0)
    assert set(hyper.own) == set(METHODS[method].hyperparameters)


def test_seeds_repeat_each_configuration() -> None:
    spec = spec_of(seeds=[3, 5])
    first, second, third = (sample(spec, index) for index in range(3))
    assert (first.seed, second.seed, third.seed) == (3, 5, 3)
    assert first.model_copy(update={"seed": 5}) == second
    assert third != first


def test_a_grid_tries_every_combination_with_every_seed_once() -> None:
    search = {
        "method": {"choice": ["ga", "npo"]},
        "forget_fraction": 0.1,
        "learning_rate": {"choice": [1e-4, 1e-3]},
        "beta": {"choice": [0.1, 0.2]},
    }
    spec = spec_of(search, searcher={"name": "grid"}, seeds=[0, 1], budget={})
    assert trial_count(spec) == (2 + 4) * 2
    found = all_trials(spec)
    assert len({hyper.digest() for hyper in found}) == 12
    searcher, history = GridSearcher(SearchSpace(spec)), History(Goals(), {})
    assert [searcher.propose(number, history) is None for number in range(8)] == [False] * 6 + [True] * 2
    assert trial_count(spec.model_copy(update={"budget": spec_of(budget={"trials": 5}).budget})) == 5


def test_the_trials_of_a_random_sweep_are_the_first_samples() -> None:
    spec = spec_of(seeds=[3, 5])
    assert all_trials(spec) == [sample(spec, index) for index in range(16)]


def test_only_a_search_that_ends_has_a_number_of_trials() -> None:
    hours: dict[str, Any] = {"budget": {"wall_hours": 1}}
    listed = {"method": {"choice": ["ga", "npo"]}, "forget_fraction": 0.1, "learning_rate": 1e-4}
    assert trial_count(spec_of(**hours)) is None
    assert trial_count(spec_of(listed, **hours)) is None  # random search continues with another deck
    assert trial_count(spec_of(listed, searcher={"name": "surrogate"}, seeds=[0, 1], **hours)) == 4
    assert trial_count(spec_of(searcher={"name": "surrogate"}, **hours)) is None


# Recorded once: another machine, Python or numpy must give the same sweep.
KNOWN = [
    ("ga_rt", 0.1, 0.000444602, None, 3.45749),
    ("ga_rt", 0.25, 0.000512356, None, 4.72219),
    ("npo_rt", 0.25, 0.000246537, 0.0901156, 1.40821),
]


def test_samples_are_the_recorded_ones() -> None:
    ranges = {"learning_rate": [2e-4, 8e-4], "beta": [0.02, 0.2], "retain_weight": [1, 5]}
    spec = spec_of({**SEARCH, **{name: {"loguniform": pair} for name, pair in ranges.items()}})
    found = [sample(spec, index) for index in range(3)]
    assert [
        (h.method, h.forget_fraction, h.learning_rate, h.own.get("beta"), h.own.get("retain_weight")) for h in found
    ] == KNOWN


def test_samples_are_equal_in_another_process() -> None:
    spec = load_spec("quickstart")
    here = [sample(spec, index).digest() for index in range(12)]
    code = (
        "from letheon.spec.load import load_spec; from tests.letheon.small_sweep import sample\n"
        "s = load_spec('quickstart'); print(*reversed([sample(s, i).digest() for i in reversed(range(12))]))"
    )
    for hash_seed in ("1", "2"):
        assert python(code, PYTHONHASHSEED=hash_seed).split() == here
