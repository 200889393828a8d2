"""The plan: the fields of `plan --json`, and that it starts and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letheon.cli.plan import plan_lines, plan_table
from letheon.journal import Journal
from letheon.spec.load import load_spec
from letheon.sweep.plan import Plan, make_plan
from tests.letheon.small_sweep import sample

NODE = {"CPU": 4.0, "GPU": 0.0}


def test_the_plan_of_the_quickstart(tmp_path: Path) -> None:
    fractions = "search.forget_fraction={choice: [0.1, 0.25]}"
    scheduler = "scheduler={max_epochs: 8, reduction_factor: 3}"
    spec = load_spec("quickstart", ["budget.trials=8", fractions, scheduler, "searcher.name=random"])
    plan = make_plan(spec, tmp_path / "root", [NODE])
    assert set(plan.to_json()) == {
        "trials", "chosen", "count", "budget", "searcher", "learns", "searched", "fixed", "strata", "rungs",
        "model", "resources", "time", "to_prepare", "audit", "notes", "errors", "probe",
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


def test_a_trial_that_fits_nowhere_is_an_error(tmp_path: Path) -> None:
    spec = load_spec("quickstart", ["trial.gpus_per_worker=1"])
    plan = make_plan(spec, tmp_path, [NODE])
    assert len(plan.errors) == 1
    assert "trial.gpus_per_worker" in plan.errors[0]
    assert plan.resources["slots"] == 0


def printed(plan: Plan) -> dict[str, str]:
    """Label -> text of the lines below the table."""
    found: dict[str, str] = {}
    for line in plan_lines(plan):
        label = line[:12].strip()
        if label and "…" not in label:
            found[label] = line[12:]
        elif found:
            found[list(found)[-1]] += f" {line[12:]}"
    return found


def planned(root: Path, *overrides: str) -> Plan:
    return make_plan(load_spec("quickstart", overrides), root, [NODE])


@pytest.mark.parametrize("budget", ["{trials: 1}", "{wall_hours: 1}", "{trials: 16}"])
def test_what_is_fixed_follows_from_the_file_not_from_the_trials_shown(tmp_path: Path, budget: str) -> None:
    plan = planned(tmp_path, f"budget={budget}")
    fixed = {"batch_size": 8, "warmup_epochs": 1.0, "weight_decay": 0.01, "seed": 0}
    assert plan.fixed == fixed
    assert printed(plan)["fixed"] == "batch size 8, warmup epochs 1, weight decay 0.01, seed 0"
    heads = [str(column.header) for column in plan_table(plan).columns]
    assert heads[:4] == ["trial", "method", "forget fraction", "learning rate"]
    search = (
        "{method: npo_rt, forget_fraction: 0.1, learning_rate: {uniform: [1.0e-4, 1.0e-3]}, beta: {choice: [0.05]}}"
    )
    one = planned(tmp_path, f"budget={budget}", f"search={search}")
    assert {"method": "npo_rt", "beta": 0.05}.items() <= one.fixed.items()


def test_seeds_that_do_not_divide_the_trials_are_noted(tmp_path: Path) -> None:
    (note,) = planned(tmp_path, "seeds=[0, 1, 2]").notes
    assert "budget.trials 16" in note and "has 1 seed; set budget.trials to 15 or 18" in note
    for seeds, trials in (("[0, 1]", 16), ("[0, 1, 2]", 15)):
        assert planned(tmp_path, f"seeds={seeds}", f"budget.trials={trials}").notes == []


def test_a_hub_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    plan = planned(tmp_path, "model.base=nobody/nothing")
    (note,) = plan.notes
    assert note.startswith("model.base nobody/nothing: its config.json did not load (") and plan.errors == []
    assert "correct the name, or give a model folder" in note


def test_the_paths_of_the_model_are_one_line_from_its_configuration(tmp_path: Path) -> None:
    assert printed(planned(tmp_path))["model"].startswith("Llama 2 to 3.3, SmolLM, SmolLM2: rows packed; ")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma2", **sizes}))
    plan = planned(tmp_path / "root", f"model.base={tmp_path}")
    assert "Gemma 2: rows padded and layers not compiled (its attention scores are capped)" in printed(plan)["model"]
    assert "memory not estimated" in plan.model and plan.resources["memory"] is None and plan.errors == []
    assert plan.notes[0].startswith(f"model.base {tmp_path}: its memory is unknown (")
    auto = planned(tmp_path / "root", f"model.base={tmp_path}", "trial.gpus_per_worker=auto")
    assert len(auto.errors) == 1 and "write a number" in auto.errors[0]


def write_sweep(root: Path, name: str, target: str, seconds: float) -> None:
    """A journal of one trial whose four epochs took `seconds` each."""
    times = iter([0.0, 0.0, *(seconds * epoch for epoch in range(1, 5))])
    (root / "sweeps" / name).mkdir(parents=True)
    journal = Journal(root / "sweeps" / name / "journal.jsonl", clock=lambda: next(times))
    journal.append("sweep", state="running", info={"target_digest": target})
    journal.append("trial", trial="t000", stratum="0.1", config={"method": "ga"}, baseline={})
    decision = {"action": "continue", "epoch": 1, "reason": ""}
    for epoch in range(1, 5):
        journal.append("report", trial="t000", epoch=epoch, metrics={}, decision=decision)
    journal.close()


def test_the_time_is_what_earlier_sweeps_of_the_same_model_measured(tmp_path: Path) -> None:
    from letheon.preparation.layout import layout

    target = layout(load_spec("quickstart"), tmp_path).target.key
    assert printed(planned(tmp_path))["time"].startswith("not known: no earlier sweep here has unlearned from this")
    write_sweep(tmp_path, "other", "another model", 100.0)
    assert planned(tmp_path).time["seconds"] is None
    write_sweep(tmp_path, "before", target, 2.0)
    plan = planned(tmp_path, "scheduler.max_epochs=6", "scheduler.grace_epochs=3")
    search = {"seconds": 96 * 2.0 / 4, "limit": "epochs", "seconds_per_epoch": 2.0, "sweep": "before"}
    likely = {"likely": 16 * (3 + 3 / 2) * 2.0 / 4}  # rungs 3 and 6, the better half goes on
    assert plan.time == {**search, **likely, "preparation": None, "audit": None, "gpu_hours": None}
    output = printed(plan)["time"]
    assert (
        output
        == "at most 48 s of search (2 s per epoch in sweep before, about 36 s with early stops), plus preparation"
    )
    assert planned(tmp_path, "budget.wall_hours=0.01").time["seconds"] == pytest.approx(36.0)
    assert printed(planned(tmp_path, "budget.wall_hours=0.01"))["time"].startswith(
        "at most 36 s of search (budget.wall_h"
    )
