"""The official evaluation logs of TOFU's target and retain models: their aggregates from their per-row values."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.evaluation import metrics
from trainables.evaluation.rouge import rouge_l_recall

REPOSITORY = Path(__file__).parents[3]
LOGS = Path(os.environ.get("LETHEON_EVAL_LOGS", REPOSITORY.parent / "shared/data/tofu_eval_logs"))
PREFIX = {"retain": "retain_Q_A", "real_authors": "ra_Q_A", "world_facts": "wf_Q_A"}

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="no evaluation logs: set LETHEON_EVAL_LOGS to their folder")


@cache
def read_log(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LOGS / f"llama-3.2-1b_{name}.json").read_text())
    return found


def values(log: dict[str, Any], metric: str, key: str) -> list[Any]:
    rows = log[metric]["value_by_index"]
    return [rows[index][key] for index in sorted(rows, key=int)]


def truth_ratios(log: dict[str, Any], prefix: str) -> metrics.Floats:
    truth = "PARA_Prob" if f"{prefix}_PARA_Prob" in log else "Prob"
    return metrics.truth_ratio(
        values(log, f"{prefix}_{truth}", "avg_loss"), values(log, f"{prefix}_PERT_Prob", "avg_loss")
    )


def utility(log: dict[str, Any]) -> float:
    parts = []
    for name, prefix in PREFIX.items():
        answer = values(log, f"{prefix}_Prob", "avg_loss")
        if name == "retain":
            probabilities = metrics.probability([-loss for loss in answer], 1)
        else:
            probabilities = metrics.choice_probability(answer, values(log, f"{prefix}_PERT_Prob", "avg_loss"))
        parts.append(float(probabilities.mean()))
        parts.append(float(np.mean(values(log, f"{prefix}_ROUGE", "rougeL_recall"))))
        parts.append(metrics.truth_ratio_score(truth_ratios(log, prefix)))
    return metrics.model_utility(parts)


@pytest.mark.parametrize(
    ("percent", "quality"), [(10, 3.9054713571083378e-22), (5, 1.4275699621532978e-12), (1, 6.760732303569208e-3)]
)
def test_forget_quality_of_the_target_model(percent: int, quality: float) -> None:
    target = truth_ratios(read_log(f"full_evals_forget{percent:02d}"), "forget_Q_A")
    retain = truth_ratios(read_log(f"retain{100 - percent}"), "forget_Q_A")
    assert metrics.forget_quality(target, retain) == pytest.approx(quality, rel=1e-6)


@pytest.mark.parametrize(("name", "expected"), [("full_evals_forget10", 0.599153), ("retain90", 0.591125)])
def test_model_utility(name: str, expected: float) -> None:
    assert utility(read_log(name)) == pytest.approx(read_log(name)["model_utility"]["agg_value"], rel=1e-6)
    assert utility(read_log(name)) == pytest.approx(expected, abs=1e-6)


def test_forget_set_of_the_target_model() -> None:
    log = read_log("full_evals_forget10")
    probabilities = metrics.probability([-loss for loss in values(log, "forget_Q_A_Prob", "avg_loss")], 1)
    assert float(probabilities.mean()) == pytest.approx(log["forget_Q_A_Prob"]["agg_value"], rel=1e-6)
    score = metrics.forget_truth_ratio_score(truth_ratios(log, "forget_Q_A"))
    assert score == pytest.approx(log["forget_truth_ratio"]["agg_value"], rel=1e-6)


@pytest.mark.parametrize("name", ["full_evals_forget10", "retain90"])
def test_rouge_of_the_logged_generations(name: str) -> None:
    rows = read_log(name)["forget_Q_A_ROUGE"]["value_by_index"].values()
    found = [rouge_l_recall(row["ground_truth"], row["generation"]) for row in rows]
    assert found == pytest.approx([row["rougeL_recall"] for row in rows], abs=1e-9)
