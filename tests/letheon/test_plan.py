"""The plan: what `plan --json` promises, and that it starts and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letheon.plan import make_plan
from letheon.spec import load_spec
from tests.letheon.small_sweep import sample

NODE = {"CPU": 4.0, "GPU": 0.0}


def test_the_plan_of_the_quickstart(tmp_path: Path) -> None:
    fractions = "search.forget_fraction={choice: [0.1, 0.25]}"
    scheduler = "scheduler={max_epochs: 8, reduction_factor: 3}"
    spec = load_spec("quickstart", ["budget.trials=8", fractions, scheduler, "searcher.name=random"])
    plan = make_plan(spec, tmp_path / "root", [NODE])
    assert set(plan.to_json()) == {
        "trials", "chosen", "count", "budget", "searcher", "strata", "rungs", "resources", "to_prepare", "errors",
    }  # fmt: skip
    assert (plan.chosen, plan.count, plan.budget, plan.searcher) == ("all", 8, {"trials": 8}, "random")
    assert [row["trial"] for row in plan.trials] == [f"t{i:03d}" for i in range(8)]
    assert plan.trials[3] == {"trial": "t003", "config": sample(spec, 3).model_dump(exclude_none=True)}
    assert plan.strata == {"0.1": {"fraction": 0.1, "trials": 4}, "0.25": {"fraction": 0.25, "trials": 4}}
    assert plan.rungs == [1, 3, 8]
    assert (plan.resources["slots"], plan.resources["cpus"], plan.resources["gpus"]) == (4, 4, 0)
    assert plan.resources["epochs_at_most"] == 64
    assert {"kind": "target", "fraction": None}.items() <= plan.to_prepare[1].items()
    assert [row["fraction"] for row in plan.to_prepare if row["kind"] == "retain"] == [0.1, 0.25]
    assert plan.errors == []
    json.dumps(plan.to_json(), allow_nan=False)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(("workers", "cpus", "slots"), [(1, 1, 4), (1, 2, 2), (3, 1, 1), (2, 1.5, 1)])
def test_slots_follow_from_the_machine_and_the_shape_of_a_trial(
    workers: int, cpus: float, slots: int, tmp_path: Path
) -> None:
    spec = load_spec("quickstart", [f"trial.workers={workers}", f"trial.cpus_per_worker={cpus}"])
    assert make_plan(spec, tmp_path, [NODE]).resources["slots"] == slots


def test_there_are_no_more_slots_than_trials(tmp_path: Path) -> None:
    spec = load_spec("quickstart", ["budget.trials=2"])
    assert make_plan(spec, tmp_path, [NODE]).resources["slots"] == 2


def test_a_trial_that_fits_nowhere_is_an_error(tmp_path: Path) -> None:
    spec = load_spec("quickstart", ["trial.gpus_per_worker=1"])
    plan = make_plan(spec, tmp_path, [NODE])
    assert len(plan.errors) == 1
    assert "trial.gpus_per_worker" in plan.errors[0]
    assert plan.resources["slots"] == 0


def test_strata_without_trials_are_told(tmp_path: Path) -> None:
    plan = make_plan(load_spec("quickstart", ["budget.trials=1"]), tmp_path, [NODE])
    assert sorted(facts["trials"] for facts in plan.strata.values()) == [0, 1]
