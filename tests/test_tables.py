"""The recorded tables that searches are compared on: that each can be searched, and the script that makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import make
from letheon.search.simulator import simulate
from letheon.search.trajectories import Table, Trajectory
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from tests.test_architecture import ROOT
from trainables.data.benchmarks.lume import make_benchmark

FOLDERS = sorted({file.parent for file in (ROOT / "benchmarks" / "tables").glob("*/*.yaml")})
RECORDED = [folder for folder in FOLDERS if (folder / make.FILE).exists()]
FORGETTING = ({"log10_forget_quality", "privleak"}, {"log10_loss_quality"})
"""What a verdict reads besides `SHOWN`: of data with wrong answers, and of other data."""
SHOWN = {"utility_ratio", "model_utility", "loss_shift", "stammer_excess", "gibberish_excess", "length_excess"}
BEFORE_VERDICTS = {"fictional"}
"""Recorded before there were verdicts."""
NAMES = [folder.name for folder in RECORDED]

every_table = pytest.mark.parametrize("folder", RECORDED, ids=NAMES)


def search_of(table: Table, searcher: str, **fields: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "search",
            "search": table.domains(),
            "seeds": table.seeds[:1],
            "objectives": table.objectives,
            "scheduler": {"max_epochs": table.max_epochs},
            "searcher": {"name": searcher},
            **fields,
        }
    )


@every_table
def test_a_table_is_small_and_whole(folder: Path) -> None:
    table = Table.read(folder / make.FILE)
    assert (folder / make.FILE).stat().st_size < 2e6
    assert 6 <= table.max_epochs <= 10
    assert 100 <= len(table.trajectories) <= 400
    assert {one.stratum for one in table.trajectories} == set(table.baselines)
    assert len(table.baselines) in (2, 3)


@every_table
def test_every_epoch_has_what_a_verdict_reads(folder: Path) -> None:
    table = Table.read(folder / make.FILE)
    forgetting = FORGETTING[0] if "log10_forget_quality" in table.objectives else FORGETTING[1]
    needed = SHOWN | forgetting
    lacking = {name for one in table.trajectories for m in one.epochs for name in needed - set(m)}
    assert bool(lacking) == (folder.name in BEFORE_VERDICTS), lacking


@every_table
def test_every_configuration_can_be_proposed(folder: Path) -> None:
    table = Table.read(folder / make.FILE)
    found = simulate(search_of(table, "grid", scheduler={"name": "none", "max_epochs": table.max_epochs}), table, 4)
    proposed = {id(table.find(row["config"])) for row in found.rows if row["kind"] == "trial"}
    first = table.seeds[0]
    assert proposed == {id(one) for one in table.trajectories if one.config["seed"] == first}


@every_table
@pytest.mark.parametrize("searcher", ["random", "quasi_random", "surrogate", "optuna"])
def test_every_searcher_takes_every_table(folder: Path, searcher: str) -> None:
    table = Table.read(folder / make.FILE)
    found = simulate(search_of(table, searcher, budget={"trials": 14}), table, slots=4)
    configs = [json.dumps(row["config"], sort_keys=True) for row in found.rows if row["kind"] == "trial"]
    assert len(set(configs)) == 14


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_sweeps_record_whole_trajectories(folder: Path) -> None:
    for file in folder.glob("*.yaml"):
        spec = load_spec(file)
        assert (spec.scheduler.name, spec.scheduler.collapse, spec.scheduler.evaluate) == ("none", None, "full")
        assert spec.budget.trials is not None


# -- the script


def test_seconds_are_typical_of_method_and_fraction() -> None:
    def one(method: str, rate: float, *seconds: float) -> Trajectory:
        config = {"method": method, "learning_rate": rate, "forget_fraction": 0.1}
        return Trajectory(config, ({"utility_ratio": 1.0},) * 2, seconds)

    table = Table([one("ga", 1e-4, 1.0, 90.0), one("ga", 1e-3, 2.0, 2.0), one("npo", 1e-4, 5.0, 7.0)], {})
    assert [each.seconds for each in make.with_typical_seconds(table).trajectories] == [(2.0, 2.0)] * 2 + [(6.0, 6.0)]


def test_first_documents_of_lume_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "DOCUMENTS", 2)
    (tmp_path / "lume").mkdir()
    for split in ("forget", "retain"):
        rows = [
            {"id": f"{split}-{i}{kind}", "input": f"What is {i}{kind}?", "output": f"{split} {i}.", "task": task}
            for i, task in enumerate(["Task1", "Task2", "Task2", "Task2"])
            for kind in ("sc1", "qa0", "qa1")
        ]
        (tmp_path / "lume" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = load_spec(ROOT / "benchmarks" / "tables" / "lume" / "configurations.yaml")
    [_, option] = make._path_of_data(spec, tmp_path, tmp_path / "root")
    name, path = option.split("=")
    assert name == "benchmark.path"
    made = make_benchmark(spec.benchmark.model_copy(update={"path": path}))
    assert [len(group.trained) for group in made.forget] == [3, 3]
    assert [row.answer.strip() for row in made.full[:6]] == ["retain 1."] * 3 + ["retain 2."] * 3


def test_a_folder_without_sweep_files_and_lume_without_its_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="must be a folder with the sweep files"):
        make.make(tmp_path, None, tmp_path)
    with pytest.raises(SystemExit, match="give --data DIR with a folder lume"):
        make.make(ROOT / "benchmarks" / "tables" / "lume", None, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a whole sweep, on any machine
def test_the_script_makes_a_table_of_two_configurations(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "configurations.yaml").write_text(
        "name: mine\n"
        "benchmark: {name: fictional, people: 4, evaluation_rows: 4}\n"
        "model: {base: tiny, recipe: {epochs: 12}}\n"
        "search: {method: npo_rt, forget_fraction: 0.25, learning_rate: {choice: [1.0e-4, 3.0e-4]}, beta: 0.1}\n"
        "scheduler: {name: none, max_epochs: 2, collapse: null}\n"
        "searcher: {name: quasi_random}\n"
        "budget: {trials: 2}\n"
        "trial: {batch_size: 8}\n"
        "evaluation: {max_new_tokens: 8}\n"
    )
    script = ROOT / "benchmarks" / "tables" / "make.py"
    command = [sys.executable, str(script), str(folder), "--root", str(tmp_path / "root")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mine: 2 trajectories of 2 epochs" in done.stdout
    table = Table.read(folder / make.FILE)
    assert [one.config["learning_rate"] for one in table.trajectories] in ([1e-4, 3e-4], [3e-4, 1e-4])
    assert SHOWN | FORGETTING[0] <= set(table.trajectories[0].epochs[0])
    assert len({one.seconds for one in table.trajectories}) == 1
