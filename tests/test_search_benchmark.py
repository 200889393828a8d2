"""The search benchmark: its statistics, its choice of settings, and every adapter on a small invented table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.policies import optuna_gp
from benchmarks.policies.catalog import BASELINES, POLICIES, spec_for
from benchmarks.policies.offers import Offers
from benchmarks.policies.outside import OutsidePolicy, Patient, Problem, Untaught
from benchmarks.protocol import report, rotation, sweeps
from benchmarks.protocol.kept import Kept
from benchmarks.protocol.progress import TRIALS
from benchmarks.protocol.statistics import chosen, worst_median
from benchmarks.protocol.sweeps import Found, Task, digest_of, run_task, table_of
from letheon.pareto.geometry import Point
from letheon.search.memory_journal import MemoryJournal
from letheon.search.simulator import simulate
from letheon.search.trajectories import Table, TableError, Trajectory

RATES, BETAS = (1e-5, 1e-4, 1e-3), (0.05, 0.1)
EPOCHS = 4
BASELINE = {"log10_forget_quality": -20.0, "utility_ratio": 1.0, "model_utility": 0.5, "forget_quality": 1e-20}


def trajectory(method: str, fraction: float, rate: float, beta: float | None) -> Trajectory:
    """Higher rates forget more and cost more; the middle one is best."""
    config = {"method": method, "forget_fraction": fraction, "learning_rate": rate, "seed": 0}
    if beta is not None:
        config["beta"] = beta
    reports = []
    for epoch in range(1, EPOCHS + 1):
        gone = min(1.0, (1 + RATES.index(rate)) * epoch / 8 * (1.2 if method == "npo" else 1.0))
        ratio = 1 - 0.25 * gone**2 * (1 + RATES.index(rate)) / 2 + (beta or 0)
        reports.append(
            {"log10_forget_quality": -20 + 20 * gone, "utility_ratio": ratio, "model_utility": ratio / 2}
            | {"forget_quality": 10.0 ** (-20 + 20 * gone)}
        )
    return Trajectory(config, tuple(reports), (1.0 + fraction,) * EPOCHS)


def make_table(methods: Sequence[str] = ("ga", "npo")) -> Table:
    """Not a cartesian product: one combination is missing."""
    every = [trajectory("ga", *each, None) for each in product((0.1, 0.2), RATES)]
    every += [trajectory("npo", *each) for each in product((0.1, 0.2), RATES, BETAS)][1:]
    kept = [each for each in every if each.config["method"] in methods]
    return Table(kept, {"0.1": BASELINE, "0.2": BASELINE})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("tables") / "invented.parquet"
    make_table().write(file)
    return str(file)


# ---- adapters


@pytest.mark.parametrize(("name", "number"), [(n, i) for n in BASELINES for i in range(len(POLICIES[n].settings))])
def test_every_policy_searches_a_small_table(name: str, number: int, table: str) -> None:
    if (missing := POLICIES[name].missing) is not None:
        pytest.skip(missing)
    task = Task(table, name, number, seed=5, workers=2)
    found = run_task(task)
    assert set(found) == {"0.1", "0.2"}
    assert found == run_task(task), "equal seeds must give equal results"
    for each in found.values():
        assert list(each.after) == sorted(each.after)
        if name.startswith(("random", "quasi_random", "optuna_tpe", "optuna_gp")) and not name.endswith("collapse"):
            assert each.after[-1] == pytest.approx(1), "nothing is stopped, so the whole table is tried"


def test_a_library_that_is_missing_is_named_with_the_way_to_install_it() -> None:
    policy = POLICIES["moasha"]
    absent = type(policy)(policy.label, policy.settings, policy.parts, ("no_such_module", "no-such-package"))
    assert absent.missing == "no-such-package is not installed; python -m pip install 'letheon[benchmarks]' does"


def policy_of(table: Table, parts: Any, seed: int = 0) -> Any:
    space = table.space(spec_for("optuna_tpe", {}, seed, table, 1000))
    return space.spec, lambda journal: OutsidePolicy(space, table.baselines, journal, parts)


def test_a_policy_that_proposes_what_was_not_recorded_is_refused() -> None:
    table = make_table()
    sweep, opened = policy_of(table, lambda problem: (Untaught(), Patient()))

    def cheating(journal: MemoryJournal) -> OutsidePolicy:
        policy: OutsidePolicy = opened(journal)
        policy._offers.remaining["0.1"][0]["learning_rate"] = 5e-4
        return policy

    with pytest.raises(TableError, match="not in the table"):
        simulate(sweep, table, 1, policy=cheating)


def test_a_suggestion_becomes_the_nearest_untried_configuration_of_its_method() -> None:
    table = make_table()
    offers = Offers(table.space(spec_for("optuna_tpe", {}, 0, table, 1000)), seed=0)
    wanted = {"method": "ga", "learning_rate": 1e-4, "beta": 0.1}  # a library without conditional spaces says a beta
    assert offers.take("0.1", wanted) == {"method": "ga", "forget_fraction": 0.1, "learning_rate": 1e-4}
    second = offers.take("0.1", wanted)
    assert second is not None and second["method"] == "ga" and second["learning_rate"] != 1e-4
    assert len(offers.remaining["0.1"]) == 3 + 5 - 2
    for _ in range(6):
        assert offers.take("0.1", wanted) is not None
    assert offers.take("0.1", wanted) is None
    assert len(offers.remaining["0.2"]) == 3 + 6


def test_strata_take_turns_and_the_best_checkpoint_is_told() -> None:
    table, told = make_table(), dict[str, Any]()

    class Listening(Untaught):
        def ended(self, trial: str, best: Point) -> None:
            told[trial] = best

    sweep, opened = policy_of(table, lambda problem: (Listening(), Patient()))
    rows = simulate(sweep, table, 1, policy=opened).rows
    strata = [row["stratum"] for row in rows if row["kind"] == "trial"]
    assert strata[:4] == ["0.1", "0.2", "0.1", "0.2"]
    reports = [row["metrics"] for row in rows if row["kind"] == "report" and row["trial"] == "t000"]
    areas = [max(0, 1 + it["log10_forget_quality"] / 20) * max(0, (it["utility_ratio"] - 0.8) / 0.2) for it in reports]
    assert told["t000"][0] * told["t000"][1] == pytest.approx(max(areas))


def test_a_gp_sampler_without_the_private_number_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(optuna_gp.sampler(0, 4), optuna_gp._PRIVATE) == optuna_gp.CANDIDATES
    monkeypatch.setattr(optuna_gp, "_PRIVATE", "_no_such_number")
    assert not hasattr(optuna_gp.sampler(0, 4), "_no_such_number")
    problem = Problem(Offers(make_table().space(spec_for("optuna_gp", {}, 0, make_table(), 99)), 0), "0.1", EPOCHS, 0)
    assert optuna_gp.parts(problem)[0].suggest("t000")["method"] in ("ga", "npo")


# ---- statistics

epochs = st.one_of(st.none(), st.floats(1, 1e4))


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.lists(epochs, min_size=n, max_size=n), min_size=1, max_size=3)))
def test_a_worst_median_lies_in_its_interval_and_is_one_of_the_strata(strata: list[list[float | None]]) -> None:
    named = {str(i): each for i, each in enumerate(strata)}
    found = worst_median(named, "most")
    assert found.low <= found.value <= found.high or math.isinf(found.high)
    assert found.value == max(worst_median({key: each}, "most").value for key, each in named.items())
    assert worst_median({key: each[::-1] for key, each in named.items()}, "most").value == found.value


def test_never_counts_as_infinite_and_an_empty_comparison_is_refused() -> None:
    assert worst_median({"0.1": [3, None, None]}, "most").value == math.inf
    assert worst_median({"0.1": [3, 5, None]}, "most").value == 5
    assert worst_median({"0.1": [0.2, 0.4], "0.2": [0.9, 0.9]}, "least").value == pytest.approx(0.3)
    with pytest.raises(ValueError, match="0 seeds"):
        worst_median({"0.1": []}, "most")


costs = st.lists(st.one_of(st.floats(1, 1e5), st.just(math.inf)), min_size=3, max_size=3)


@given(st.dictionaries(st.sampled_from("abcd"), costs, min_size=1), st.floats(1, 1e3))
def test_a_choice_does_not_depend_on_a_tables_unit(each: dict[str, list[float]], unit: float) -> None:
    given_up = dict.fromkeys(each, 1e5)
    first = min(each)
    scaled = {**each, first: [cost * unit for cost in each[first]]}
    assert chosen(each, given_up) == chosen(scaled, {**given_up, first: 1e5 * unit})


@given(st.dictionaries(st.sampled_from("abcd"), costs, min_size=1))
def test_a_candidate_that_is_best_everywhere_is_chosen(each: dict[str, list[float]]) -> None:
    best = {key: [*row, 0.5] for key, row in each.items()}
    assert (
        chosen(
            {key: [max(cost, 2.0) for cost in row[:3]] + [1.0] for key, row in best.items()}, dict.fromkeys(each, 1e5)
        )
        == 3
    )


def test_without_other_tables_the_documented_defaults_are_chosen() -> None:
    assert chosen({}, {}) == 0


# ---- the protocol

SMALL = ("random", "optuna_tpe")


@pytest.fixture
def sources(tmp_path: Path) -> list[rotation.Source]:
    made = []
    for name, methods in (("first", ("ga", "npo")), ("second", ("npo",)), ("outside", ("ga",))):
        make_table(methods).write(tmp_path / f"{name}.parquet")
        file = str(tmp_path / f"{name}.parquet")
        shared = name != "outside"
        made.append(rotation.Source(name, file, shared, tmp_path / "kept" / f"{name}.parquet" if shared else None))
    return made


def test_settings_are_chosen_on_the_other_tables_only(
    sources: list[rotation.Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "CHOICE_SEEDS", 2)
    found = rotation.compare(sources, SMALL, range(3), workers=(4, 1))
    assert found.elsewhere
    first, second, outside = sources
    best = {first.name: 3, second.name: 1, outside.name: 2}
    cost = {True: 2.0, False: 9.0}
    monkeypatch.setattr(rotation.Comparison, "cost", lambda self, source, name, i: cost[i == best[source.name]])
    assert rotation.choice(found, first, "optuna_tpe") == best[second.name]
    assert rotation.choice(found, second, "optuna_tpe") == best[first.name]
    assert rotation.choice(found, outside, "optuna_tpe") in (best[first.name], best[second.name])
    made = report.summary(found)
    assert made["left_out"] is True and made["seeds"] == 3
    assert set(made["tables"]) == {"first", "second", "outside"}
    each = made["tables"]["outside"]
    assert set(each["epochs_to_95"]) == set(each["hypervolume_at"]) == set(SMALL)
    assert list(each["hypervolume_at"]["random"]) == [str(count) for count in TRIALS]
    assert set(each["seconds_to_95"]["random"]) == {"1", "4"}
    assert any("chosen on the other tables" in line for line in report.lines(found))


def test_results_are_kept_until_what_they_depend_on_changes(
    sources: list[rotation.Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rotation.compare(sources[:1], SMALL, range(2), workers=(4,))
    again = rotation.compare(sources[:1], SMALL, range(2), workers=(4,))
    assert (first.computed, again.computed) == (4, 0)
    assert first.results == again.results
    assert not first.elsewhere
    fresh = rotation.compare(sources[:1], SMALL, range(2), fresh=True, workers=(4,))
    assert fresh.computed == 4
    monkeypatch.setattr(sweeps, "RULES", -1)
    assert rotation.compare(sources[:1], SMALL, range(2), workers=(4,)).computed == 4


def test_a_digest_names_table_policy_and_settings(table: str, tmp_path: Path) -> None:
    make_table(("npo",)).write(tmp_path / "other.parquet")
    tasks = [
        Task(table, "ray_asha", 0, 0, 4),
        Task(table, "ray_asha", 1, 0, 4),
        Task(table, "ray_asha_collapse", 0, 0, 4),
    ]
    tasks += [Task(str(tmp_path / "other.parquet"), "ray_asha", 0, 0, 4), Task(table, "random", 0, 0, 4)]
    assert len({digest_of(task) for task in tasks}) == len(tasks)
    assert digest_of(tasks[0]) == digest_of(Task(table, "ray_asha", 0, seed=9, workers=1))


def test_one_sweep_serves_two_names(table: str) -> None:
    names = [("letheon", 0), ("letheon_defaults", 0), ("letheon", 1), ("random", 0)]
    groups = rotation.alike(Task(table, *each, seed=0, workers=4) for each in names)
    assert [[task.policy for task in group] for group in groups] == [
        ["letheon", "letheon_defaults"],
        ["letheon"],
        ["random"],
    ]


def test_a_damaged_file_of_results_counts_as_empty(table: str, tmp_path: Path) -> None:
    task, result = Task(table, "random", 0, 0, 4), {"0.1": Found(1.0, None, 2.5, (0.1, 0.2, 0.3, 0.4))}
    Kept(tmp_path / "kept.parquet").save({task: result})
    assert Kept(tmp_path / "kept.parquet").find(task) == result
    (tmp_path / "kept.parquet").write_bytes(b"PAR1")
    assert Kept(tmp_path / "kept.parquet").find(task) is None
    assert Kept(None).find(task) is None


def test_everything_is_measured_on_the_whole_table(table: str) -> None:
    assert sweeps.whole(table_of(table)) == EPOCHS * (6 + 11)
