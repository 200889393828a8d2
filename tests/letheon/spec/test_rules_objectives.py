"""Rules for objectives, constraints and audit, and for what methods require of the trial section."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from letheon.pareto.objectives import FORGET_QUALITY, MODEL_UTILITY, Goals, Limit
from letheon.spec.load import dump_spec, load_spec
from letheon.spec.rules_objectives import axis_of, goals_of
from tests.letheon.small_sweep import sample
from tests.letheon.spec.sweep_file import GOOD, errors_of, write
from trainables.audit.config import AuditConfig
from trainables.config import ProbeConfig
from trainables.methods import METHODS


def problem(folder: Path, line: str, text: str = GOOD) -> str:
    """The only error of the file with this extra line, without the file's name."""
    file = write(folder, text + line + "\n")
    (found,) = errors_of(file)
    return found.removeprefix(f"{file}:")


def test_default_objectives_are_those_of_the_benchmark(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD))
    assert spec.objectives == {"log10_forget_quality": "max", "model_utility": "max"}
    assert replace(goals_of(spec), honest=()) == Goals()
    assert "objectives: {log10_forget_quality: max, model_utility: max}" in dump_spec(spec)


def test_the_catalog_gives_the_default_objectives_their_usual_ranges() -> None:
    assert axis_of("log10_forget_quality", "max") == FORGET_QUALITY
    x = axis_of("model_utility", "max")
    assert (x.ratio, x.ends(0.5, 0.8)) == (MODEL_UTILITY.ratio, MODEL_UTILITY.ends(0.5, 0.8))


def test_other_objectives_constraints_and_an_audit_load_and_write_back_equal(tmp_path: Path) -> None:
    text = (
        "objectives: {model_utility: max, forget_rouge: min}\n"
        "constraints: {privleak_distance: {max: 20}, audit_nf4_forget_rouge: {max: 0.4}, retain_rouge: {min: 0.5}}\n"
        "audit: {attacks: [relearn, nf4], rows: 8}\n"
    )
    spec = load_spec(write(tmp_path, GOOD + text))
    goals = goals_of(spec)
    assert (goals.x.metric, goals.x.better, goals.y.metric) == ("forget_rouge", "min", "model_utility")
    assert goals.limits == (
        Limit("privleak_distance", high=20, scale=100),
        Limit("audit_nf4_forget_rouge", high=0.4),
        Limit("retain_rouge", low=0.5),
    )
    assert goals.search_goals.limits == (goals.limits[0], goals.limits[2])
    assert spec.audit == AuditConfig(attacks=("relearn", "nf4"), rows=8)
    again = load_spec(write(tmp_path, dump_spec(spec)))
    assert again == spec


def test_an_audit_is_a_switch_or_settings(tmp_path: Path) -> None:
    assert load_spec(write(tmp_path, GOOD)).audit is False
    on = load_spec(write(tmp_path, GOOD + "audit: true\n"))
    assert (on.audit, on.audit_config) == (True, AuditConfig())
    assert load_spec(write(tmp_path, GOOD), ["audit.rows=7"]).audit_config.rows == 7


def test_the_floor_is_that_of_the_collapse_rule(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    assert goals_of(load_spec(file, ["scheduler.collapse={floor: 0.7}"])).floor == 0.7
    assert goals_of(load_spec(file, ["scheduler.collapse=null"])).floor == 0.8


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("objectives: {log10_forget_qualty: max, model_utility: max}", "did you mean 'log10_forget_quality'?"),
        ("objectives: {log10_forget_quality: min, model_utility: max}", "better when larger; write log10_forget_"),
        ("objectives: {forget_rouge: max, model_utility: max}", "better when smaller; write forget_rouge: min"),
        ("objectives: {model_utility: max}", "names 1 metric,"),
        (
            "objectives: {model_utility: max, forget_rouge: min, retain_rouge: max, ks_distance: min}",
            "names 4 metrics,",
        ),
        (
            "objectives: {model_utility: max, forget_rouge: min, probe_nf4_forget_rouge: min}",
            "add `scheduler: {probe: ",
        ),
        ("objectives: {model_utility: max, probe_nf5_forget_rouge: min}", "did you mean 'probe_nf4_forget_rouge'?"),
        ("constraints: {probe_relearn_forget_rouge: {max: 0.1}}", "this sweep has no probe"),
        ("objectives: {model_utility: maximum, forget_rouge: min}", "must be one of max, min"),
        ("objectives: {audit_worst_forget_rouge: min, model_utility: max}", "add `audit: true`"),
        ("constraints: {forget_roug: {max: 0.1}}", "did you mean 'forget_rouge'?"),
        ("constraints: {forget_rouge: {mx: 0.1}}", "did you mean 'max'?"),
        ("constraints: {forget_rouge: {}}", "has neither max nor min"),
        ("constraints: {forget_rouge: {min: 0.4, max: 0.1}}", "must be <= max 0.1"),
        ("constraints: {forget_rouge: 0.1}", "constraints.forget_rouge = 0.1"),
        ("constraints: {audit_nf4_forget_rouge: {max: 0.1}}", "only an audit measures it"),
        ("audit: maybe", "audit = 'maybe'"),
        ("audit: {attaks: [nf4]}", "did you mean 'attacks'?"),
        ("audit: {attacks: [nf5]}", "did you mean 'nf4'?"),
        ("audit: {attacks: [nf4, nf4]}", "named once"),
        ("evaluation: {harness: [arc_easy]}", "install letheon[harness]"),
        ("trial: {refusals: no-such-file.txt}", "is not a file"),
        ("trial: {compat: npos}", "did you mean 'npo'?"),
        ("trial: {lora: {rnk: 4}}", "did you mean 'rank'?"),
    ],
)
def test_invalid_lines_are_refused(line: str, expected: str, tmp_path: Path) -> None:
    found = problem(tmp_path, line)
    assert found.startswith("10: ")
    assert expected in found


def test_three_objectives_with_a_probe_load_in_the_order_of_a_front(tmp_path: Path) -> None:
    line = "objectives: {probe_relearn_forget_rouge: min, model_utility: max, forget_rouge: min}\n"
    file = write(tmp_path, GOOD + line)
    spec = load_spec(file, ["scheduler.probe={attacks: [relearn, rtn4], relearn_steps: 4}"])
    assert list(spec.objectives) == ["forget_rouge", "model_utility", "probe_relearn_forget_rouge"]
    goals = goals_of(spec)
    assert goals.z == axis_of("probe_relearn_forget_rouge", "min") and goals.search_goals is goals
    assert spec.scheduler.probe == ProbeConfig(attacks=("relearn", "rtn4"), relearn_steps=4)
    assert load_spec(write(tmp_path, dump_spec(spec))) == spec
    assert "probe" not in dump_spec(load_spec(write(tmp_path, GOOD)))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "scheduler.probe={attacks: [rtn4]}",
            "the probe's attacks are rtn4; add `scheduler: {probe: {attacks: [rtn4, re",
        ),
        ("scheduler.probe={attacks: [relarn]}", "did you mean 'relearn'?"),
        ("scheduler.probe={attacks: [relearn, relearn]}", "named once"),
        ("scheduler.probe={rows: 1}", "must be >= 2"),
        ("scheduler.probe=true", "write {attacks: [relearn]}"),
        ("scheduler={probe: {}, metric: probe_nf4_forget_rouge, mode: min}", "the probe's attacks are relearn"),
    ],
)
def test_a_probe_that_cannot_be_is_refused(setting: str, expected: str, tmp_path: Path) -> None:
    objectives = "objectives: {forget_rouge: min, model_utility: max, probe_relearn_forget_rouge: min}\n"
    found = errors_of(write(tmp_path, GOOD + objectives), setting)
    assert any(expected in problem for problem in found)


def test_a_probe_needs_the_whole_weights_and_something_to_attack(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    (found,) = errors_of(file, "scheduler.probe={}", "trial.deepspeed={zero_optimization: {stage: 3}}")
    assert "which no worker holds at ZeRO stage 3" in found and "stage: 2" in found
    found = "\n".join(errors_of(file, "scheduler.probe={}", "benchmark={name: synthetic}"))
    assert "scheduler.probe" in found and "nothing to attack" in found


def test_the_synthetic_experiment_cannot_be_audited(tmp_path: Path) -> None:
    found = errors_of(write(tmp_path, GOOD + "audit: true\n"), "benchmark={name: synthetic}")
    assert any(": audit = true: the synthetic experiment" in problem for problem in found)


def test_trials_cannot_be_ranked_by_an_audit(tmp_path: Path) -> None:
    (found,) = errors_of(write(tmp_path, GOOD + "audit: true\n"), "scheduler.metric=audit_nf4_forget_rouge")
    assert "audits run after the search" in found


def test_methods_that_need_whole_gradients_refuse_zero_3(tmp_path: Path) -> None:
    for name, method in METHODS.items():
        text = (
            f"name: a\nsearch: {{method: {name}, forget_fraction: 0.1, learning_rate: 1.0e-4}}\nbudget: {{trials: 1}}\n"
        )
        file = write(tmp_path, text)
        assert load_spec(file, ["trial.deepspeed={zero_optimization: {stage: 2}}"]).trial.workers_config.zero_stage == 2
        if method.needs_whole_gradients:
            (found,) = errors_of(file, "trial.deepspeed={zero_optimization: {stage: 3}}")
            assert f"{name} must see whole gradients" in found
        else:
            load_spec(file, ["trial.deepspeed={zero_optimization: {stage: 3}}"])


def test_compat_lora_and_refusals_load(tmp_path: Path) -> None:
    (tmp_path / "refusals.txt").write_text("No idea.\n")
    text = f"trial: {{compat: open_unlearning, lora: {{rank: 4}}, refusals: {tmp_path}/refusals.txt}}\n"
    file = write(tmp_path, GOOD + text)
    (found,) = errors_of(file)
    assert "none of the chosen methods (ga, npo_rt) reads refusals; remove it, or choose a method that does: " in found
    trial = load_spec(file, ["search.method={choice: [npo_rt, idk_rt]}"]).trial
    assert trial.compat == "open_unlearning"
    assert trial.lora is not None
    assert (trial.lora.rank, trial.refusals) == (4, f"{tmp_path}/refusals.txt")


def test_hyper_parameters_are_searched_only_for_methods_that_declare_them(tmp_path: Path) -> None:
    declared = {name: one for method in METHODS.values() for name, one in method.hyperparameters.items()}
    ranges = {n: f"{'loguniform' if one.log else 'uniform'}: [{one.low}, {one.high}]" for n, one in declared.items()}
    lines = "".join(f"  {name}: {{{text}}}\n" for name, text in ranges.items())
    text = f"name: all\nsearch:\n  method: {{choice: [{', '.join(METHODS)}]}}\n  forget_fraction: 0.1\n"
    text += f"  learning_rate: 1.0e-4\n{lines}budget: {{trials: {len(METHODS)}}}\n"
    spec = load_spec(write(tmp_path, text))
    for index in range(len(METHODS)):
        hyper = sample(spec, index)
        assert set(hyper.own) == set(METHODS[hyper.method].hyperparameters)
        assert all(map(math.isfinite, hyper.own.values()))
    assert {sample(spec, index).method for index in range(len(METHODS))} == set(METHODS)
