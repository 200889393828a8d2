"""`compare-logs` and `evaluate --out` as a user runs them: tables, JSON, exit codes, and one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.letheon.cli.command import run
from tests.trainables.evaluation.small import SETTINGS, TEMPLATE, fresh_model, small_model, small_tokenizer
from tests.trainables.evaluation.small_logs import Model
from trainables.config import BenchmarkConfig
from trainables.evaluation.logs.adapt import adapt
from trainables.evaluation.logs.read import read_log
from trainables.evaluation.metrics.summary import retain_reference
from trainables.model.load import save_model


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    """The retain model's log in TOFU's format, the unlearned model's in open-unlearning's."""
    retain, unlearned = tmp_path / "eval_log_aggregated.json", tmp_path / "TOFU_EVAL.json"
    retain.write_text(json.dumps(Model(1, 0.1).legacy()))
    unlearned.write_text(json.dumps(Model(2, 0.9).open_unlearning()))
    return retain, unlearned


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"forget_Q_A_Prob": 7, "retain_Q_A_Prob": "x"}'])
def test_a_file_that_is_not_a_log_is_one_line_and_exit_2(logs: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(content)
    for pair in ((bad, logs[1]), (logs[0], bad)):
        result = run("compare-logs", *pair)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        assert str(bad) in result.stderr


def test_a_missing_file(logs: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("compare-logs", logs[0], tmp_path / "absent.json")
    assert result.exit_code == 4
    assert "no such file" in result.stderr


def folder_of(path: Path, model: Any, **more: Any) -> Path:
    path.mkdir()
    save_model(path, model, small_tokenizer())
    card = {
        "benchmark": BenchmarkConfig(people=4, evaluation_rows=6).model_dump(mode="json"),
        "forget_fraction": 0.25,
        "evaluation": SETTINGS.model_dump(mode="json"),
        "precision": "fp32",
        "template": TEMPLATE,
        **more,
    }
    (path / "letheon.json").write_text(json.dumps(card))
    return path


def test_evaluate_out_then_compare_logs(tmp_path: Path) -> None:
    """The forget quality that `evaluate` prints is the one that `compare-logs` computes from the files it wrote."""
    retain, unlearned = tmp_path / "retain.json", tmp_path / "unlearned.json"
    assert run("evaluate", folder_of(tmp_path / "a", fresh_model()), "--out", retain).exit_code == 0
    ruler = retain_reference(adapt(read_log(retain)).details)
    folder = folder_of(tmp_path / "b", small_model(), yardstick=ruler, target_utility=0.5)
    card = json.loads((folder / "letheon.json").read_text())
    card["beside"] = {"target": {"log10_forget_quality": -9.0, "model_utility": 0.5}}
    for length, noticed in ((2.0, True), (1000.0, False)):  # the limits of the sweep that the checkpoint is from
        (folder / "letheon.json").write_text(json.dumps({**card, "verdict": {"length": length}}))
        said = run("evaluate", folder).stdout
        assert "\nverdict: " in said
        assert ("differ in length" in said) == noticed
    result = run("evaluate", folder, "--out", unlearned, "--json")
    assert result.exit_code == 0, result.output
    recorded = json.loads(result.stdout)["metrics"]
    compared = json.loads(run("compare-logs", retain, unlearned, "--json").stdout)
    assert compared["comparison"]["forget_quality"] == pytest.approx(recorded["forget_quality"], rel=1e-9)
    assert compared["unlearned"]["metrics"]["model_utility"] == pytest.approx(recorded["model_utility"], rel=1e-9)


def test_evaluate_prints_the_other_models_and_its_duration(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", small_model(), beside={"target": {"forget_rouge": 0.75}, "retain": {}})
    result = run("evaluate", folder)
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["metric", "this", "model", "target", "model"]
    assert not any("seconds" in line for line in lines)
    assert next(line for line in lines if line.startswith("forget_rouge ")).split()[2] == "0.75"
    assert len({len(line.rstrip()) for line in lines}) == 1  # columns end where they should
    first, last = result.stderr.splitlines()
    assert first.startswith(f"evaluating {folder} on fictional, forget fraction 0.25, with ") and last.endswith(" s")
    assert "verdict" not in result.stdout  # nothing here compares it with a retain model
    found = json.loads(run("evaluate", folder, "--json").stdout)
    assert "eval_seconds" not in found["metrics"] and found["seconds"] > 0
