"""The Optuna searcher: the trials in its study, its proposals, and that it learns."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from letheon.journal import stratum_of
from letheon.search.simulator import simulate
from letheon.search.trajectories import Table, Trajectory
from letheon.searchers.history import History
from letheon.searchers.optuna_tpe import MAX_TRIALS, VIOLATION, OptunaSearcher
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import Values
from tests.letheon.searchers.searcher_contract import BASELINE, LISTS, RANGES, SEEDS, Sweep, spec_of
from tests.letheon.small_sweep import python

NPO: Mapping[str, Any] = {
    "method": "npo",
    "forget_fraction": 0.1,
    "learning_rate": 1e-5,
    "beta": 0.1,
    "batch_size": 8,
    "weight_decay": 0.0,
}
GA = {name: value for name, value in NPO.items() if name != "beta"} | {"method": "ga"}
GOOD = {"log10_forget_quality": -5.0, "utility_ratio": 0.9, "model_utility": 0.54}  # (0.5, 0.5) in the box
BETTER = {"log10_forget_quality": -2.5, "utility_ratio": 0.9, "model_utility": 0.54}  # (0.75, 0.5)
BROKEN = {"log10_forget_quality": -1.0, "utility_ratio": 0.7, "model_utility": 0.42}  # below the floor of 0.8
GONE = {"log10_forget_quality": -200.0, "utility_ratio": 0.0, "model_utility": 0.0}
NAN = dict.fromkeys(GOOD, math.nan)


def searcher_for(sweep: Sweep) -> OptunaSearcher:
    return OptunaSearcher(sweep.space, sweep.spec.searcher)


def study_trials(sweep: Sweep) -> dict[str, FrozenTrial]:
    """The trials of the next proposal's study by their names in the history."""
    searcher = searcher_for(sweep)
    study = searcher.study(sweep.number, searcher.known(sweep.history))
    return {str(trial.user_attrs["trial"]): trial for trial in study.trials}


def one_trial(outcome: str | None, reports: Sequence[Mapping[str, float]], values: Mapping[str, Any] = NPO) -> Sweep:
    sweep = Sweep(spec_of(RANGES))
    [trial] = sweep.start(values)
    for metrics in reports:
        sweep.report(trial, **metrics)
    if outcome is not None:
        sweep.end(trial, outcome)
    return sweep


# -- the study


@pytest.mark.parametrize("outcome", ["completed", "pruned", "stopped", "collapsed"])
def test_an_ended_trial_has_the_values_of_its_best_feasible_point(outcome: str) -> None:
    """Checkpoints of pruned and collapsed trials count for the front too."""
    [trial] = study_trials(one_trial(outcome, [GOOD, BETTER, BROKEN])).values()
    assert trial.state is TrialState.COMPLETE
    assert trial.values == pytest.approx([0.75, 0.5])
    assert trial.constraints == {VIOLATION: 0.0}


@pytest.mark.parametrize("outcome", ["completed", "pruned", "stopped", "collapsed"])
def test_a_trial_that_never_was_feasible_violates_the_constraint(outcome: str) -> None:
    [trial] = study_trials(one_trial(outcome, [BROKEN, GONE])).values()
    assert trial.state is TrialState.COMPLETE
    assert trial.values == pytest.approx([0.9, -0.5])  # its values when it was least infeasible
    assert trial.constraints == pytest.approx({VIOLATION: 0.1})


@pytest.mark.parametrize("reports", [[], [NAN], [{"loss": 1.0}]], ids=["no report", "NaN", "other metrics"])
def test_a_trial_without_numbers_counts_as_the_worst(reports: Sequence[Mapping[str, float]]) -> None:
    [trial] = study_trials(one_trial("collapsed", reports)).values()
    assert trial.state is TrialState.COMPLETE
    assert trial.values == [-1.0, -1.0]
    assert trial.constraints == {VIOLATION: math.inf}


@pytest.mark.parametrize("reports", [[], [GOOD]])
def test_a_running_trial_runs_and_a_failed_one_failed(reports: Sequence[Mapping[str, float]]) -> None:
    for outcome, state in ((None, TrialState.RUNNING), ("failed", TrialState.FAIL)):
        [trial] = study_trials(one_trial(outcome, reports)).values()
        assert (trial.state, trial.values, trial.constraints) == (state, None, {})
        assert trial.params["learning_rate"] == 1e-5


def test_parameters_are_those_of_the_method() -> None:
    [npo] = study_trials(one_trial(None, [], NPO)).values()
    [ga] = study_trials(one_trial(None, [], GA)).values()
    assert npo.params == {"method": "npo", "learning_rate": 1e-5, "beta": 0.1, "batch_size": 8, "weight_decay": 0}
    assert ga.params == {name: value for name, value in npo.params.items() if name != "beta"} | {"method": "ga"}
    assert npo.distributions == {
        "method": CategoricalDistribution(("ga", "ga_rt", "npo", "npo_rt")),
        "learning_rate": FloatDistribution(1e-6, 1e-4, log=True),
        "beta": FloatDistribution(0.01, 1.0, log=True),
        "batch_size": IntDistribution(4, 16),
        "weight_decay": IntDistribution(0, 1),
    }


def test_listed_numbers_are_positions_in_ascending_order() -> None:
    sweep = Sweep(spec_of(LISTS))
    values = {"method": "npo_rt", "forget_fraction": 0.1, "learning_rate": 1e-3, "beta": 0.05, "retain_weight": 2.0}
    sweep.start(values)
    [trial] = study_trials(sweep).values()
    assert trial.params == {"method": "npo_rt", "learning_rate": 2, "beta": 0}  # fixed values are not parameters


def test_one_study_holds_all_strata() -> None:
    sweep = Sweep(spec_of(RANGES))
    for fraction in (0.1, 0.25, 0.1, 0.5):
        [trial] = sweep.start({**NPO, "forget_fraction": fraction})
        sweep.complete(trial)
    assert list(study_trials(sweep)) == ["t000", "t001", "t002", "t003"]


def test_only_the_newest_trials_are_in_the_study() -> None:
    sweep = Sweep(spec_of(RANGES))
    names = [name for _ in range(MAX_TRIALS + 5) for name in sweep.start(NPO)]
    assert list(study_trials(sweep)) == names[5:]


def warm(sweep: Sweep, name: str, outcome: str | None, **changed: Any) -> None:
    config = {**NPO, **changed}
    stratum = stratum_of(config["forget_fraction"])
    points = [[1, GOOD], [2, BETTER]]
    sweep.write("warm", trial=name, stratum=stratum, config=config, baseline=BASELINE, points=points, outcome=outcome)


def test_earlier_trials_come_first_and_none_of_them_runs() -> None:
    sweep = one_trial("completed", [GOOD])
    warm(sweep, "before/t000", "completed")
    warm(sweep, "before/t001", None)
    warm(sweep, "before/t002", "failed")
    found = study_trials(sweep)
    assert list(found) == ["before/t000", "before/t001", "before/t002", "t000"]
    complete, fail = TrialState.COMPLETE, TrialState.FAIL
    assert [trial.state for trial in found.values()] == [complete, complete, fail, complete]
    assert found["before/t001"].values == pytest.approx([0.75, 0.5])


@pytest.mark.parametrize(
    "elsewhere",
    [{"method": "kto"}, {"learning_rate": 1e-3}, {"beta": None}, {"weight_decay": 0.1}],
    ids=["method", "range", "missing", "list"],
)
def test_earlier_trials_of_another_space_are_left_out(elsewhere: dict[str, Any]) -> None:
    sweep = one_trial("completed", [GOOD])
    warm(sweep, "before/t000", "completed", **elsewhere)
    assert list(study_trials(sweep)) == ["t000"]


def test_earlier_trials_shorten_the_start() -> None:
    sweep = Sweep(spec_of(RANGES))
    assert origin(sweep) == "start-up: evenly over the space"
    for i in range(6):  # two per stratum
        warm(sweep, f"before/t{i:03d}", "completed", learning_rate=(1 + i) * 1e-5)
    assert origin(sweep) == "optuna: TPE on 6 trials"


# -- proposals


def origin(sweep: Sweep) -> str:
    proposal = searcher_for(sweep).propose(sweep.number, sweep.history)
    assert proposal is not None
    return proposal.origin


def continued(sweep: Sweep, count: int) -> Sweep:
    """After `count` more configurations, one at a time."""
    for _ in range(count):
        proposal = searcher_for(sweep).propose(sweep.number, sweep.history)
        assert proposal is not None
        for trial in sweep.start(proposal.values):
            sweep.complete(trial)
    return sweep


def test_it_starts_with_a_few_configurations_per_stratum() -> None:
    """Two per stratum, regardless of the seeds of a configuration."""
    sweep = Sweep(spec_of(RANGES, seeds=[0, 1]))
    for _ in range(6):
        assert origin(sweep) == "start-up: evenly over the space"
        sweep = continued(sweep, 1)
    assert {trial.stratum for trial in sweep.history.trials.values()} == {"0.1", "0.25", "0.5"}
    assert origin(sweep) == "optuna: TPE on 12 trials"


def test_running_and_failed_trials_do_not_end_the_start() -> None:
    sweep = continued(Sweep(spec_of(RANGES)), 5)
    sweep.start(NPO)
    sweep.end(sweep.start({**NPO, "learning_rate": 2e-5})[0], "failed")
    assert origin(sweep) == "start-up: evenly over the space"


def test_the_nearest_untried_combination_replaces_a_tried_one() -> None:
    spec = spec_of({**LISTS, "forget_fraction": 0.1})
    far: Values = {"method": "ga", "forget_fraction": 0.1, "learning_rate": 1e-5}
    sweep = Sweep(spec)
    near: Values = {**far, "method": "npo_rt", "learning_rate": 1e-4, "beta": 0.05, "retain_weight": 2.0}
    for values in sweep.space.combinations:
        if values not in (near, far):
            [trial] = sweep.start(values)
            sweep.complete(trial)
    searcher = searcher_for(sweep)
    tried = {searcher._space.identity(trial.config) for trial in sweep.history.trials.values()}
    assert searcher._untried_near({**near, "beta": 0.2}, "0.1", tried) == near
    assert searcher._untried_near({**far, "learning_rate": 1e-4}, "0.1", tried) == far


def test_whole_numbers_reach_both_ends_of_their_range() -> None:
    spec = spec_of({"method": "ga", "forget_fraction": 0.1, "learning_rate": 1e-5, "batch_size": {"uniform": [4, 6]}})
    sweep = continued(Sweep(spec), 40)
    assert {trial.config["batch_size"] for trial in sweep.history.trials.values()} == {4, 5, 6}


def test_each_number_and_each_seed_is_another_draw() -> None:
    """From the same study: parallel trials must differ."""
    sweep = continued(Sweep(spec_of(RANGES)), 8)
    settings = [sweep.spec.searcher.model_copy(update={"seed": seed}) for seed in SEEDS]
    proposals = [
        OptunaSearcher(sweep.space, each).propose(number, sweep.history) for each in settings for number in (8, 9)
    ]
    assert all(proposals[i] not in proposals[:i] for i in range(len(proposals)))


def test_proposals_are_equal_in_another_process() -> None:
    """The order of sets, which depends on Python's hash seed, must not matter."""
    sweep = continued(Sweep(spec_of(RANGES)), 12)
    here = searcher_for(sweep).propose(sweep.number, sweep.history)
    assert here is not None
    assert here.origin.startswith("optuna")
    code = (
        "import json, sys\n"
        "from tests.letheon.searchers.searcher_contract import RANGES, Sweep, spec_of\n"
        "from letheon.searchers.optuna_tpe import OptunaSearcher\n"
        "sweep = Sweep(spec_of(RANGES))\n"
        "[sweep.history.take(row) for row in json.load(sys.stdin)]\n"
        "print(json.dumps(dict(OptunaSearcher(sweep.space, sweep.spec.searcher).propose(12, sweep.history).values)))\n"
    )
    for hash_seed in ("1", "2"):
        said = python(code, stdin=json.dumps(sweep.rows), PYTHONHASHSEED=hash_seed)
        assert json.loads(said) == dict(here.values)


def test_the_module_loads_without_optuna() -> None:
    python("import sys; sys.modules['optuna'] = None; import letheon.searchers.optuna_tpe")


def test_optuna_is_quiet_and_keeps_its_log_level(capfd: pytest.CaptureFixture[str]) -> None:
    sweep = continued(Sweep(spec_of(RANGES)), 8)
    for level in (optuna.logging.DEBUG, optuna.logging.ERROR):
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(level)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert origin(sweep).startswith("optuna")
            assert optuna.logging.get_verbosity() == level
        finally:
            optuna.logging.set_verbosity(before)
    assert capfd.readouterr().err == ""


# -- learning

LANDSCAPE: Mapping[str, Sequence[Any]] = {
    "method": ["ga_rt", "npo_rt"],
    "learning_rate": [1e-6 * 10 ** (i / 4) for i in range(9)],
    "beta": [0.01 * 10 ** (i / 4) for i in range(9)],
    "retain_weight": [0.5 * i for i in range(1, 10)],
}


def easy_table() -> Table:
    """One hill per stratum: best for `npo_rt` and the middle of each list; `ga_rt` is half as good."""

    def quality(config: Mapping[str, Any]) -> float:
        hill = {name: listed for name, listed in LANDSCAPE.items() if name != "method" and name in config}
        places = [listed.index(config[name]) - 4 for name, listed in hill.items()]
        return math.exp(-sum(place**2 for place in places) / 8) * (1.0 if config["method"] == "npo_rt" else 0.5)

    trajectories = []
    for fraction, (method, rate, beta, weight) in product((0.1, 0.25), product(*LANDSCAPE.values())):
        config = {"method": method, "forget_fraction": fraction, "learning_rate": rate, "retain_weight": weight}
        if method == "npo_rt":
            config["beta"] = beta
        metrics = {"log10_forget_quality": -20 * (1 - quality(config)), "utility_ratio": 0.98, "model_utility": 0.59}
        trajectories.append(Trajectory(config, (metrics,), (1.0,)))
    untouched = {"log10_forget_quality": -20.0, "utility_ratio": 1.0, "model_utility": 0.6}
    return Table(trajectories, {"0.1": untouched, "0.25": untouched})


def left_to_gain(searcher: str, seed: int, table: Table) -> float:
    """How far the fronts are from the best possible after 80 of 1620 configurations, as a share of the box."""
    spec = SweepSpec.model_validate(
        {
            "name": "easy",
            "search": {name: {"choice": values} for name, values in LANDSCAPE.items()}
            | {"forget_fraction": {"choice": [0.1, 0.25]}},
            "searcher": {"name": searcher, "seed": seed},
            "scheduler": {"name": "none", "max_epochs": 1, "collapse": None},
            "budget": {"trials": 80},
        }
    )
    history = History(goals_of(spec), table.baselines)
    for row in simulate(spec, table, slots=3).rows:
        history.take(row)
    return 0.9 - sum(progress.hypervolume for progress in history.progress.values()) / 2


def test_it_finds_the_hill_much_sooner_than_random_search() -> None:
    table = easy_table()
    random, optuna_left = (
        median(left_to_gain(searcher, seed, table) for seed in SEEDS) for searcher in ("random", "optuna")
    )
    assert optuna_left < random / 3, f"left to gain: {optuna_left:.3f}, at random {random:.3f}"
