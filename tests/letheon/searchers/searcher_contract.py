"""The contract of searchers as a class of tests: derive from it and construct your searcher.

class TestMine(SearcherContract):
    def searcher(self, spec):
        return MySearcher(SearchSpace(spec), spec.searcher)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import Journal, Row, stratum_of
from letheon.searchers.base import Proposal, Searcher
from letheon.searchers.history import History
from letheon.spec.model import LogUniform, SweepSpec, Uniform, values_of
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import SIGNIFICANT_DIGITS, SearchSpace, trial_name

LISTS: Mapping[str, Any] = {
    "method": {"choice": ["npo_rt", "ga"]},
    "forget_fraction": {"choice": [0.25, 0.1]},
    "learning_rate": {"choice": [1e-5, 1e-4, 1e-3]},
    "beta": {"choice": [0.2, 0.05]},
    "retain_weight": 2.0,
}
RANGES: Mapping[str, Any] = {
    "method": {"choice": ["ga", "ga_rt", "npo", "npo_rt"]},
    "forget_fraction": {"choice": [0.1, 0.25, 0.5]},
    "learning_rate": {"loguniform": [1e-6, 1e-4]},
    "beta": {"loguniform": [0.01, 1.0]},
    "retain_weight": {"uniform": [0.5, 5.0]},
    "batch_size": {"uniform": [4, 16]},
    "weight_decay": {"choice": [0.0, 0.01]},
}
EPOCHS = 3
BASELINE = {"log10_forget_quality": -10.0, "utility_ratio": 1.0, "model_utility": 0.6}
SEEDS = (0, 1, 7)


def spec_of(search: Mapping[str, Any], seed: int = 0, **fields: Any) -> SweepSpec:
    """A sweep file over `search`; `fields` are any others of a sweep."""
    settings = {"seed": seed, "startup_trials": 2, **fields.pop("searcher", {})}
    scheduler = {"max_epochs": EPOCHS}
    return SweepSpec.model_validate(
        {"name": "x", "search": dict(search), "searcher": settings, "scheduler": scheduler, **fields}
    )


def landscape(config: Mapping[str, Any], epoch: int) -> dict[str, float]:
    """A landscape with a best learning rate: below it nothing is forgotten, above it the model breaks."""
    push = math.log10(config["learning_rate"]) + 5 + 0.3 * epoch
    ratio = 1 - 0.1 * 10 ** min(push - 0.5, 3.0)
    quality = -10.0 / (1 + math.exp(4 * push))
    return {"log10_forget_quality": quality, "utility_ratio": max(ratio, 0.0), "model_utility": 0.6 * max(ratio, 0.0)}


class Sweep:
    """A sweep without a controller: the rows that one would write, and their history."""

    def __init__(self, spec: SweepSpec) -> None:
        self.spec, self.rows = spec, list[Row]()
        self.space = SearchSpace(spec)
        self.history = self._fresh()

    def _fresh(self) -> History:
        return History(goals_of(self.spec).search_goals, {})

    @property
    def number(self) -> int:
        """The number of the next configuration."""
        return len(self.history.trials) // len(self.spec.seeds)

    def write(self, kind: str, **fields: Any) -> None:
        row = {"kind": kind, "seq": len(self.rows) + 1, "time": float(len(self.rows)), **fields}
        self.rows.append(row)
        self.history.take(row)

    def start(self, values: Mapping[str, Any]) -> list[str]:
        """Start the configuration's trials, one per seed."""
        names = []
        for seed in self.spec.seeds:
            names.append(trial_name(len(self.history.trials)))
            chosen = self.space.hyperparameters(values, seed).model_dump(mode="json")
            config = {name: value for name, value in chosen.items() if value is not None}
            stratum = stratum_of(config["forget_fraction"])
            self.write("trial", trial=names[-1], stratum=stratum, config=config, baseline=BASELINE, origin="test")
        return names

    def report(self, trial: str, **metrics: float) -> None:
        """Report the trial's next epoch with these metrics, by default those of the landscape."""
        epoch = len(self.history.trials[trial].points) + 1
        found = metrics or landscape(self.history.trials[trial].config, epoch)
        self.write("report", trial=trial, epoch=epoch, metrics=found)

    def end(self, trial: str, outcome: str) -> None:
        self.write("end", trial=trial, outcome=outcome, reason="test", epoch=len(self.history.trials[trial].points))

    def complete(self, trial: str) -> None:
        while len(self.history.trials[trial].points) < EPOCHS:
            self.report(trial)
        self.end(trial, "completed")

    def rebuilt(self, journal: Path) -> History:
        """The history after a restart of the driver, from the rows on disk."""
        written = Journal(journal)
        for row in self.rows:
            written.append(**{name: value for name, value in row.items() if name not in ("seq", "time")})
        written.close()
        history = self._fresh()
        for row in Journal.read(journal):
            history.take(row)
        return history


Fate = Callable[[Sweep, str], None]


def _fate(outcome: str, *reports: Mapping[str, float]) -> Fate:
    """Make these reports (an empty one as in the landscape), then end the trial."""

    def play(sweep: Sweep, trial: str) -> None:
        for metrics in reports:
            sweep.report(trial, **metrics)
        sweep.end(trial, outcome)

    return play


def _all(value: float) -> Mapping[str, float]:
    return dict.fromkeys(BASELINE, value)


TROUBLES: Mapping[str, Fate] = {
    "pruned": _fate("pruned", {}),
    "stopped": _fate("stopped", {}),
    "failed at once": _fate("failed"),
    "failed later": _fate("failed", {}),
    "collapsed": _fate("collapsed", {}, {"log10_forget_quality": -20.0, "utility_ratio": 0.1, "model_utility": 0.06}),
    "without numbers": _fate("collapsed", _all(math.nan)),
    "infinite": _fate("collapsed", {**_all(math.inf), "log10_forget_quality": -math.inf}),
    "without metrics": _fate("collapsed", {"loss": 0.5}),
}


class SearcherContract:
    """`takes_ranges`: whether it can search ranges. `exhausts`: whether it proposes each combination of a listed space
    once and then ends."""

    takes_ranges = True
    exhausts = True

    def searcher(self, spec: SweepSpec) -> Searcher:
        """A new searcher for the sweep."""
        raise NotImplementedError

    # -- playing a sweep

    @property
    def wide(self) -> Mapping[str, Any]:
        """The richest space that the searcher takes."""
        return RANGES if self.takes_ranges else LISTS

    def play(
        self,
        sweep: Sweep,
        count: int,
        fates: tuple[Fate, ...] = (Sweep.complete,),
        slots: int = 3,
        early: bool = True,
    ) -> Iterator[Proposal]:
        """At most `count` configurations, with `slots` trials running at a time; the oldest ends first.

        `early`: every other configuration reports as soon as it has started.
        """
        searcher, fate = self.searcher(sweep.spec), cycle(fates)
        running: list[str] = []
        for _ in range(count):
            proposal = searcher.propose(sweep.number, sweep.history)
            if proposal is None:
                return
            yield proposal
            started = sweep.start(proposal.values)
            if sweep.number % 2 and early:
                sweep.report(started[0])
            running += started
            while len(running) >= slots:
                next(fate)(sweep, running.pop(0))

    # -- the contract

    @pytest.mark.parametrize("seed", SEEDS)
    def test_proposals_lie_in_the_space(self, seed: int) -> None:
        sweep = Sweep(spec_of(self.wide, seed))
        proposals = list(self.play(sweep, 16))
        assert proposals
        for proposal in proposals:
            assert_in_space(sweep.space, proposal)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_listed_proposals_are_combinations_of_the_space(self, seed: int) -> None:
        sweep = Sweep(spec_of(LISTS, seed))
        combinations = list(sweep.space.combinations)
        assert all(dict(proposal.values) in combinations for proposal in self.play(sweep, len(combinations)))

    @pytest.mark.parametrize("seed", SEEDS)
    def test_equal_arguments_give_equal_proposals(self, seed: int) -> None:
        sweep = Sweep(spec_of(self.wide, seed))
        other = self.searcher(sweep.spec)
        for proposal in self.play(sweep, 10):
            assert self.searcher(sweep.spec).propose(sweep.number, sweep.history) == proposal  # from a new object
            assert other.propose(sweep.number, sweep.history) == proposal
            assert other.propose(sweep.number, sweep.history) == proposal

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_history_rebuilt_from_the_journal_gives_the_same_proposal(self, seed: int, tmp_path: Path) -> None:
        sweep = Sweep(spec_of(self.wide, seed))
        list(self.play(sweep, 11, (Sweep.complete, *TROUBLES.values())))
        rebuilt = sweep.rebuilt(tmp_path / "journal.jsonl")
        expected = self.searcher(sweep.spec).propose(sweep.number, sweep.history)
        assert self.searcher(sweep.spec).propose(sweep.number, rebuilt) == expected

    def test_proposing_leaves_the_history_as_it_was(self) -> None:
        sweep = Sweep(spec_of(self.wide))
        list(self.play(sweep, 9))
        trials, progress = copy.deepcopy(sweep.history.trials), copy.deepcopy(sweep.history.progress)
        self.searcher(sweep.spec).propose(sweep.number, sweep.history)
        assert (sweep.history.trials, sweep.history.progress) == (trials, progress)

    def test_another_seed_gives_other_proposals(self) -> None:
        if not self.takes_ranges:
            pytest.skip("the order is that of the file")
        first, second = (
            [proposal.values for proposal in self.play(Sweep(spec_of(RANGES, seed)), 6)] for seed in (0, 1)
        )
        assert first != second

    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_stratum_gets_trials(self, seed: int) -> None:
        sweep = Sweep(spec_of(self.wide, seed))
        list(self.play(sweep, 18))
        strata = {stratum_of(fraction) for fraction in sweep.spec.fractions}
        assert {trial.stratum for trial in sweep.history.trials.values()} == strata

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(
        ("fates", "slots", "fields"),
        [
            ((Sweep.complete,), 3, {}),
            ((Sweep.complete, *TROUBLES.values()), 3, {}),
            ((Sweep.complete,), 1000, {}),
            ((Sweep.complete,), 5, {"seeds": [3, 5]}),
        ],
        ids=["sound", "troubled", "all still running", "tried once with all its seeds"],
    )
    def test_a_listed_space_is_exhausted_without_repeats(
        self, seed: int, fates: tuple[Fate, ...], slots: int, fields: Mapping[str, Any]
    ) -> None:
        sweep = Sweep(spec_of(LISTS, seed, **fields))
        everything = len(sweep.space.combinations)
        found = [tuple(sorted(proposal.values.items())) for proposal in self.play(sweep, everything + 5, fates, slots)]
        if self.exhausts:
            assert len(found) == len(set(found)) == everything
            assert self.searcher(sweep.spec).propose(sweep.number, sweep.history) is None
        else:
            assert len(found) == everything + 5

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("trouble", TROUBLES)
    def test_trouble_does_no_harm(self, trouble: str, seed: int) -> None:
        """Even if all trials of the sweep end like this."""
        sweep = Sweep(spec_of(self.wide, seed))
        for proposal in self.play(sweep, 9, (TROUBLES[trouble],), early=False):
            assert_in_space(sweep.space, proposal)
        assert sweep.number == 9

    def test_many_trials_may_run_before_the_first_report(self) -> None:
        sweep = Sweep(spec_of(self.wide))
        for proposal in self.play(sweep, 14, slots=1000, early=False):
            assert_in_space(sweep.space, proposal)
        assert sweep.number == 14


def assert_in_space(space: SearchSpace, proposal: Proposal) -> None:
    """Every value in its domain, and exactly the hyper-parameters that the method has."""
    values = dict(proposal.values)
    method = str(values["method"])
    assert method in space.methods
    assert set(values) == {"method", *space.lists(method), *space.ranges(method)}
    for name, value in values.items():
        domain = space.spec.search[name]
        if not isinstance(domain, Uniform | LogUniform):
            assert value in values_of(domain)
            continue
        low, high = domain.bounds
        assert isinstance(value, int | float)
        assert low <= value <= high
        assert isinstance(value, int) == space.is_whole(name)
        assert value in (low, high) or float(f"{value:.{SIGNIFICANT_DIGITS}g}") == value
    assert space.hyperparameters(proposal.values, 0).method == method
    assert proposal.origin
