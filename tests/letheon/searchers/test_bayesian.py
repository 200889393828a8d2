"""The strata that the Bayesian searcher chooses, and a listed space too large to compare as a whole."""

from __future__ import annotations

from typing import Any

from letheon.searchers.bayesian import BayesianSearcher
from letheon.searchers.strata import underserved
from tests.letheon.searchers.searcher_contract import EPOCHS, LISTS, Sweep, spec_of


def proposed(sweep: Sweep, count: int) -> list[dict[str, Any]]:
    """That many proposals, each run to its end before the next."""
    searcher, found = BayesianSearcher(sweep.space, sweep.spec.searcher), []
    for _ in range(count):
        proposal = searcher.propose(sweep.number, sweep.history)
        assert proposal is not None
        found.append(dict(proposal.values))
        for name in sweep.start(proposal.values):
            sweep.complete(name)
    return found


def test_a_perfect_front_gives_way() -> None:
    sweep = Sweep(spec_of(LISTS))
    for rate in (1e-5, 1e-4):
        for fraction, quality in ((0.25, 0.0), (0.1, -5.0)):
            values = {"method": "ga", "forget_fraction": fraction, "learning_rate": rate}
            [name] = sweep.start(values)
            for _ in range(EPOCHS):
                sweep.report(name, log10_forget_quality=quality, utility_ratio=1.0, model_utility=0.6)
            sweep.end(name, "completed")
    assert [values["forget_fraction"] for values in proposed(sweep, 2)] == [0.1, 0.1]


def test_a_stratum_with_less_than_a_third_of_an_equal_share_is_underserved() -> None:
    sweep = Sweep(spec_of(LISTS))
    assert underserved(sweep.history, sweep.spec) == []
    for rate in (1e-5, 1e-4, 1e-3):
        [name] = sweep.start({"method": "ga", "forget_fraction": 0.25, "learning_rate": rate})
        sweep.complete(name)
    assert underserved(sweep.history, sweep.spec) == ["0.1"]


def test_a_large_listed_space_is_sampled_and_still_ends(monkeypatch: Any) -> None:
    monkeypatch.setattr("letheon.searchers.bayesian.LISTED_CANDIDATES", 3)
    sweep = Sweep(spec_of(LISTS))
    count = len(sweep.space.combinations)
    found = {tuple(sorted(values.items())) for values in proposed(sweep, count)}
    assert len(found) == count
    assert BayesianSearcher(sweep.space, sweep.spec.searcher).propose(sweep.number, sweep.history) is None
