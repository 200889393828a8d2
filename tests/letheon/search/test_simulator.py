"""Sweeps in virtual time: equal seeds give equal rows, however often the driver dies."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.pareto.front import front_of, hypervolume_share
from letheon.search.simulator import Simulation, simulate
from letheon.search.trajectories import Table, TableError, Trajectory
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import SearchSpace
from trainables.methods import METHODS as METHODS_BY_NAME

METHODS, RATES, FRACTIONS = ("ga", "ga_rt", "npo"), (1e-5, 1e-4, 1e-3), (0.1, 0.2)
BUDGETS: list[dict[str, float]] = [{"trials": 6}, {"epochs": 12}, {"wall_hours": 20 / 3600}]


def trajectory(method: str, rate: float, fraction: float, seed: int, epochs: int = 4) -> Trajectory:
    config = {"method": method, "learning_rate": rate, "forget_fraction": fraction, "seed": seed}
    speed = (1 + METHODS.index(method)) * (3 + RATES.index(rate)) / 18
    reports = []
    for epoch in range(1, epochs + 1):
        gone = speed * epoch / epochs
        ratio = 1 - 0.3 * gone * gone + 0.01 * seed
        quality = -20 + 18 * gone + seed / 10
        reports.append({"log10_forget_quality": quality, "utility_ratio": ratio, "model_utility": ratio / 2})
    return Trajectory(config, tuple(reports), (1.0 + 10 * fraction + METHODS.index(method) / 8,) * epochs)


TRAJECTORIES = [trajectory(*each) for each in product(METHODS, RATES, FRACTIONS, (0, 1))]
BASELINE = {"log10_forget_quality": -20.0, "utility_ratio": 1.0, "model_utility": 0.5}
TABLE = Table(TRAJECTORIES, {"0.1": BASELINE, "0.2": BASELINE})


def spec(
    searcher: str = "random", scheduler: str = "pareto_asha", budget: dict[str, float] | None = None, **more: Any
) -> SweepSpec:
    fields = {
        "name": "simulated",
        "search": TABLE.domains(),
        "scheduler": {"name": scheduler, "max_epochs": 4, "reduction_factor": 2},
        "searcher": {"name": searcher, "seed": 3},
        "budget": budget or {},
        **more,
    }
    return SweepSpec.model_validate(fields)


def outcomes(simulation: Simulation) -> list[str]:
    return [row["outcome"] for row in simulation.rows if row["kind"] == "end"]


def kinds(simulation: Simulation, kind: str) -> list[Any]:
    return [row for row in simulation.rows if row["kind"] == kind]


@pytest.mark.parametrize("searcher", ["random", "quasi_random", "grid", "surrogate"])
@pytest.mark.parametrize("scheduler", ["pareto_asha", "asha"])
@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: next(iter(budget)))
def test_kills_change_nothing(searcher: str, scheduler: str, budget: dict[str, float]) -> None:
    sweep = spec(searcher, scheduler, budget)
    undisturbed = simulate(sweep, TABLE, slots=2)
    assert simulate(sweep, TABLE, slots=2).rows == undisturbed.rows

    @settings(max_examples=2)
    @given(st.sets(st.integers(1, len(undisturbed.rows)), max_size=6))
    def killed(kills: set[int]) -> None:
        again = simulate(sweep, TABLE, 2, kills)
        assert (again.rows, again.end_reason) == (undisturbed.rows, undisturbed.end_reason)

    killed()
    if searcher != "surrogate":  # which is too slow
        every = simulate(sweep, TABLE, 2, range(1, len(undisturbed.rows) + 1))
        assert (every.rows, every.end_reason) == (undisturbed.rows, undisturbed.end_reason)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: next(iter(budget)))
def test_a_budget_ends_the_sweep_and_is_the_reason(budget: dict[str, float]) -> None:
    found = simulate(spec("quasi_random", budget=budget), TABLE, slots=3)
    assert found.end_reason is not None
    assert found.end_reason.startswith(f"budget.{next(iter(budget))}: ")
    assert len(kinds(found, "end")) == len(kinds(found, "trial"))


def test_a_budget_of_epochs_stops_running_trials() -> None:
    found = simulate(spec(scheduler="none", budget={"epochs": 6}), TABLE, slots=3)
    assert outcomes(found) == ["stopped"] * 3
    assert all(row["reason"].startswith("budget.epochs") for row in kinds(found, "end"))


def test_a_budget_of_trials_lets_them_finish() -> None:
    found = simulate(spec(scheduler="none", budget={"trials": 4}), TABLE, slots=3)
    assert outcomes(found) == ["completed"] * 4
    assert len(kinds(found, "report")) == 16


@pytest.mark.parametrize("searcher", ["grid", "surrogate"])
def test_a_finite_space_ends(searcher: str) -> None:
    found = simulate(spec(searcher), TABLE, slots=2)
    configs = {tuple(row["config"].get(n) for n in ("method", "learning_rate", "forget_fraction")) for row in found.rows
               if row["kind"] == "trial"}  # fmt: skip
    assert found.end_reason == "all 18 trials of the search space were started"
    assert len(configs) == len(kinds(found, "trial")) == 18


def test_seeds_of_one_configuration_follow_each_other() -> None:
    configs = [row["config"] for row in kinds(simulate(spec(budget={"trials": 6}, seeds=[0, 1]), TABLE, 2), "trial")]
    assert [config["seed"] for config in configs] == [0, 1] * 3
    assert all({**a, "seed": 0} == {**b, "seed": 0} for a, b in zip(configs[::2], configs[1::2], strict=True))


def test_virtual_time_orders_events() -> None:
    found = simulate(spec(scheduler="none", budget={"trials": 5}), TABLE, slots=2)
    times = [row["time"] for row in found.rows]
    assert times == sorted(times)
    assert found.seconds == times[-1] > 0
    first = kinds(found, "trial")[0]
    seconds = TABLE.find(first["config"]).seconds
    reported = [row["time"] for row in kinds(found, "report") if row["trial"] == first["trial"]]
    assert reported == pytest.approx([math.fsum(seconds[: i + 1]) for i in range(4)])


def test_a_configuration_that_was_not_recorded_is_refused() -> None:
    search = {**TABLE.domains(), "learning_rate": 5e-5}
    with pytest.raises(TableError, match=re.escape("none lies in this search space and is recorded with seeds [0]")):
        simulate(spec(search=search), TABLE, slots=1)
    with pytest.raises(
        TableError,
        match=re.escape("seeds [0, 9]; search the table's `domains` with some of its seeds [0, 1]"),
    ):
        simulate(spec(seeds=[0, 9]), TABLE, slots=1)
    with pytest.raises(TableError, match="not in the table"):
        TABLE.find({**TRAJECTORIES[0].config, "learning_rate": 5e-5})


SEARCHERS = ["random", "quasi_random", "grid", "surrogate", "optuna"]


def ragged() -> Table:
    """Every configuration has values of its own, so almost no combination of them was recorded, and seeds differ."""
    rates = [round(1e-5 * 1.37**i, 9) for i in range(14)]
    made = []
    for i, rate in enumerate(rates):
        one = trajectory(METHODS[i % 3], 1e-4, FRACTIONS[i % 2], seed=5)
        own = {"beta": 0.01 * (i + 1)} if one.config["method"] == "npo" and i != 2 else {}
        made.append(Trajectory({**one.config, "learning_rate": rate, "beta": None, **own}, one.epochs, one.seconds))
    made.append(Trajectory({**made[0].config, "seed": 6}, made[0].epochs, made[0].seconds))
    return Table(made, TABLE.baselines)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_searcher_proposes_exactly_what_was_recorded(searcher: str) -> None:
    table = ragged()
    budget: dict[str, float] = {"trials": 14} if searcher == "random" else {}
    sweep = spec(searcher, budget=budget, search=table.domains(), seeds=[5])
    found = simulate(sweep, table, slots=3)
    configs = [table.find(row["config"]) for row in kinds(found, "trial")]
    assert len(configs) == len({id(one) for one in configs}) == 14
    assert {row["config"]["seed"] for row in kinds(found, "trial")} == {5}


def test_only_configurations_with_all_seeds_of_the_sweep_are_proposed() -> None:
    table = ragged()
    assert table.seeds == (5, 6)
    found = simulate(spec("grid", search=table.domains([5, 6]), seeds=[5, 6]), table, slots=1)
    assert [row["config"]["learning_rate"] for row in kinds(found, "trial")] == [1e-5, 1e-5]


def test_a_complete_table_is_the_whole_search_space() -> None:
    sweep = spec()
    assert TABLE.space(sweep).combinations == SearchSpace(sweep).combinations


def test_a_configuration_recorded_twice_counts_once() -> None:
    again = Trajectory(TRAJECTORIES[0].config, TRAJECTORIES[1].epochs, TRAJECTORIES[1].seconds)
    table = Table([*TRAJECTORIES, again], TABLE.baselines)
    assert table.trajectories == TABLE.trajectories


def test_a_default_that_was_not_written_down_is_filled_in() -> None:
    npo = next(one for one in TABLE.trajectories if one.config["method"] == "npo")
    assert npo.config["beta"] == METHODS_BY_NAME["npo"].hyperparameters["beta"].default
    with pytest.raises(TableError, match="method npoo: is unknown; did you mean 'npo'"):
        Table([Trajectory({**npo.config, "method": "npoo"}, npo.epochs, npo.seconds)], {})


def test_objectives_fit_the_metrics() -> None:
    assert TABLE.objectives == {"log10_forget_quality": "max", "model_utility": "max"}
    losses = Table(TRAJECTORIES, {"0.1": {"log10_loss_quality": -9.0}})
    assert losses.objectives == {"log10_loss_quality": "max", "model_utility": "max"}


def test_a_written_table_reads_equal(tmp_path: Path) -> None:
    TABLE.write(tmp_path / "table.parquet", {"made": "now"})
    again = Table.read(tmp_path / "table.parquet")
    for one, other in ((TABLE, again), (again, TABLE)):
        assert all(other.find(each.config) == each for each in one.trajectories)
    assert (again.baselines, again.max_epochs) == (TABLE.baselines, 4)
    assert again.domains() == TABLE.domains()


def test_what_was_not_measured_is_absent_and_nan_stays(tmp_path: Path) -> None:
    first, *others = TRAJECTORIES
    broken = Trajectory(first.config, ({"utility_ratio": math.nan},) * 4, first.seconds)
    Table([broken, *others], TABLE.baselines).write(tmp_path / "table.parquet")
    [metrics, *_] = Table.read(tmp_path / "table.parquet").find(first.config).epochs
    assert math.isnan(metrics["utility_ratio"])
    assert "model_utility" not in metrics


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_invalid_tables_are_refused(tmp_path: Path) -> None:
    row = {"method": "ga", "forget_fraction": 0.1, "learning_rate": 1e-4, "utility_ratio": 1.0}
    (tmp_path / "text").write_text("not a table")
    with pytest.raises(TableError, match="is not a Parquet file"):
        Table.read(tmp_path / "text")
    with pytest.raises(TableError, match=re.escape("has no epoch, method")):
        Table.read(write_rows(tmp_path / "columns", [{"forget_fraction": 0.1}]))
    with pytest.raises(TableError, match=re.escape("has epochs [1, 3]")):
        Table.read(write_rows(tmp_path / "gap", [{**row, "epoch": 1}, {**row, "epoch": 3}]))
    with pytest.raises(TableError, match="the table has no trajectories"):
        Table([], {})
    with pytest.raises(TableError, match=re.escape("trajectories of [3, 4] epochs")):
        Table([TRAJECTORIES[0], trajectory("npo", 1e-3, 0.2, 0, epochs=3)], {})


# -- budget.plateau


@pytest.mark.parametrize("searcher", ["random", "surrogate"])
def test_a_plateau_ends_the_search_and_says_what_was_expected(searcher: str) -> None:
    fields: dict[str, Any] = {"searcher": searcher, "scheduler": "none", "budget": {"epochs": 72}}
    whole = simulate(spec(**fields), TABLE, slots=2)
    short = simulate(spec(**{**fields, "budget": {"epochs": 72, "plateau": 0.3}}), TABLE, slots=2)
    assert short.end_reason is not None
    assert short.end_reason.startswith("budget.plateau: the next 8 trials of any fraction are expected to add at most")
    assert short.end_reason.endswith("less than 30.00%")
    assert len(outcomes(short)) < len(outcomes(whole))
    assert all(row["outcome"] != "stopped" for row in kinds(short, "end"))  # trials that run then finish


@pytest.mark.parametrize("searcher", ["random", "surrogate"])
def test_a_plateau_is_the_same_after_a_restart(searcher: str) -> None:
    sweep = spec(searcher, "none", {"epochs": 72, "plateau": 0.3})
    undisturbed = simulate(sweep, TABLE, slots=2)
    again = simulate(sweep, TABLE, 2, kills=range(1, len(undisturbed.rows) + 1, 9))
    assert (again.rows, again.end_reason) == (undisturbed.rows, undisturbed.end_reason)


def test_a_plateau_that_is_never_reached_changes_nothing() -> None:
    never = spec(budget={"epochs": 40, "plateau": 1e-9})
    assert simulate(spec(budget={"epochs": 40.0}), TABLE, 2).rows == simulate(never, TABLE, 2).rows


# -- three objectives: what a probe brings back

BACK = "probe_relearn_forget_rouge"
THIRD = {"log10_forget_quality": "max", "model_utility": "max", BACK: "min"}


def probed(one: Trajectory) -> Trajectory:
    """The trajectory as recorded with a probe after every epoch, which takes half a second: less comes back of ga."""
    share = 0.2 + 0.2 * METHODS.index(one.config["method"])
    epochs = ({**metrics, BACK: share + 0.01 * epoch, "probe_seconds": 0.5} for epoch, metrics in enumerate(one.epochs))
    return Trajectory(one.config, tuple(epochs), tuple(seconds + 0.5 for seconds in one.seconds))


PROBED = Table(map(probed, TRAJECTORIES), {"0.1": BASELINE, "0.2": BASELINE})


def probed_spec(searcher: str, scheduler: str = "pareto_asha", **more: Any) -> SweepSpec:
    """A sweep with rungs at epochs 2 and 4, or none, and a probe."""
    fields = spec(searcher, budget={"trials": 12}).model_dump(mode="json")
    rungs = {"name": scheduler, "max_epochs": 4, "grace_epochs": 2, "reduction_factor": 2, "probe": {}}
    return SweepSpec.model_validate({**fields, "objectives": THIRD, "scheduler": rungs, **more})


@pytest.mark.parametrize("searcher", ["surrogate", "optuna"])
def test_kills_change_nothing_with_three_objectives(searcher: str) -> None:
    sweep = probed_spec(searcher)
    undisturbed = simulate(sweep, PROBED, slots=2)
    again = simulate(sweep, PROBED, 2, {3, 11, 12, 30})
    assert (again.rows, again.end_reason) == (undisturbed.rows, undisturbed.end_reason)
    ranked = [row["decision"] for row in kinds(undisturbed, "report") if row["decision"]["rung"] == 2]
    assert len(ranked) == 12 and len({decision["rank"] for decision in ranked}) > 1


def test_a_front_of_three_objectives_has_only_checkpoints_that_were_probed() -> None:
    sweep = probed_spec("quasi_random")
    found = simulate(sweep, PROBED, slots=2)
    for row in kinds(found, "report"):
        assert (BACK in row["metrics"]) == (row["epoch"] in (2, 4))
    front = front_of(found.rows, goals=goals_of(sweep))
    assert list(front["objectives"]) == list(THIRD)
    for stratum in front["strata"].values():
        assert stratum["points"] and {point["epoch"] for point in stratum["points"]} <= {2, 4}
        corner = np.array(stratum["reference"]) * [1, 1, -1]
        values = [[point["metrics"][name] for name in THIRD] for point in stratum["points"]]
        volume = moocore.hypervolume(np.array(values) * [1, 1, -1], ref=corner, maximise=True)
        assert stratum["hypervolume"] == pytest.approx(volume)
        assert 0 < hypervolume_share(stratum) <= 1  # type: ignore[operator]
        assert moocore.is_nondominated(np.array(values) * [1, 1, -1], maximise=True).all()
    least = min(point["metrics"][BACK] for stratum in front["strata"].values() for point in stratum["points"])
    assert least == pytest.approx(0.21)  # of ga


def test_without_rungs_every_epoch_is_probed_and_probes_cost_their_seconds() -> None:
    budget = {"budget": {"trials": 4}}
    every = simulate(probed_spec("quasi_random", "none", **budget), PROBED, slots=1)
    assert all(BACK in row["metrics"] for row in kinds(every, "report"))
    none = simulate(spec("quasi_random", "none", {"trials": 4}), PROBED, slots=1)
    assert not any(BACK in row["metrics"] for row in kinds(none, "report"))
    assert every.seconds == pytest.approx(none.seconds + 0.5 * 16)


def test_a_table_keeps_what_a_probe_did_not_measure_apart_from_nan(tmp_path: Path) -> None:
    at_rungs = Table((one.probed_at((2, 4)) for one in PROBED.trajectories), PROBED.baselines)
    at_rungs.write(tmp_path / "table.parquet")
    again = Table.read(tmp_path / "table.parquet")
    assert all(again.find(one.config) == one for one in at_rungs.trajectories)
    failed = simulate(probed_spec("quasi_random", "none"), at_rungs, slots=1)
    assert set(outcomes(failed)) == {"failed"}  # the table lacks what this sweep would have measured
    assert "probe_relearn_forget_rouge is missing" in kinds(failed, "end")[0]["reason"]
