"""The official evaluation logs of TOFU's target and retain models: their aggregates from their per-row values."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from trainables.data.rows import Role
from trainables.evaluation import SetDetails, compare, summarise, yardstick
from trainables.evaluation.membership import auc, privleak
from trainables.evaluation.rouge import rouge

REPOSITORY = Path(__file__).parents[3]
LOGS = Path(os.environ.get("LETHEON_EVAL_LOGS", REPOSITORY.parent / "shared/data/tofu_eval_logs"))
PREFIX = {"forget": "forget_Q_A", "retain": "retain_Q_A", "real_authors": "ra_Q_A", "world_facts": "wf_Q_A"}
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradnorm")
FULL, RETAIN = "full_evals_forget10", "retain90"

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="no evaluation logs: set LETHEON_EVAL_LOGS to their folder")


@cache
def read_log(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LOGS / f"llama-3.2-1b_{name}.json").read_text())
    return found


def values(metric: dict[str, Any], key: str) -> list[Any]:
    rows = metric["value_by_index"]
    return [rows[index][key] for index in sorted(rows, key=int)]


@cache
def details(name: str) -> dict[str, SetDetails]:
    log = read_log(name)
    attacks = {
        side: {attack: values(log[f"mia_{attack}"][side], "score") for attack in ATTACKS}
        for side in ("forget", "holdout")
    }
    found = {}
    for of_set, prefix in PREFIX.items():
        role: Role = "forget" if of_set == "forget" else "utility"
        paraphrase = log.get(f"{prefix}_PARA_Prob")
        found[of_set] = SetDetails(
            role=role,
            multiple_choice=of_set in ("real_authors", "world_facts"),
            loss=values(log[f"{prefix}_Prob"], "avg_loss"),
            paraphrase_loss=None if paraphrase is None else values(paraphrase, "avg_loss"),
            perturbed_losses=values(log[f"{prefix}_PERT_Prob"], "avg_loss"),
            rouge_l_recall=values(log[f"{prefix}_ROUGE"], "rougeL_recall"),
            generated=values(log[f"{prefix}_ROUGE"], "generation"),
            extraction_strength=values(log["extraction_strength"], "score") if role == "forget" else None,
            exact_memorization=values(log["exact_memorization"], "score") if role == "forget" else None,
            attacks=attacks["forget"] if role == "forget" else {},
        )
    found["holdout"] = SetDetails(
        "holdout", loss=values(log["mia_loss"]["holdout"], "score"), attacks=attacks["holdout"]
    )
    return found


@pytest.mark.parametrize(
    ("percent", "distance", "quality"),
    [
        (10, 0.35, 3.9054713571083378e-22),
        (5, 0.37, 1.4275699621532978e-12),
        (1, 0.375, 6.760732303569208e-3),
    ],
)
def test_forget_quality_of_the_target_model(percent: int, distance: float, quality: float) -> None:
    retain = yardstick(details(f"retain{100 - percent}"))
    found = compare(details(f"full_evals_forget{percent:02d}"), retain)
    assert found["forget_quality"] == pytest.approx(quality, rel=1e-6)
    assert found["ks_distance"] == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize(("name", "expected"), [(FULL, 0.599153), (RETAIN, 0.591125)])
def test_model_utility(name: str, expected: float) -> None:
    found = summarise(details(name))["model_utility"]
    assert found == pytest.approx(read_log(name)["model_utility"]["agg_value"], rel=1e-6)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", [FULL, RETAIN])
def test_the_stored_aggregates_of_the_forget_set(name: str) -> None:
    found, log = summarise(details(name)), read_log(name)
    stored = {
        "forget_probability": "forget_Q_A_Prob",
        "forget_rouge": "forget_Q_A_ROUGE",
        "forget_truth_ratio": "forget_truth_ratio",
        "extraction_strength": "extraction_strength",
        "exact_memorization": "exact_memorization",
        **{f"mia_{attack}": f"mia_{attack}" for attack in ATTACKS},
    }
    for ours, theirs in stored.items():
        assert found[ours] == pytest.approx(log[theirs]["agg_value"], rel=1e-6), ours


def test_published_values_of_the_target_model() -> None:
    found = compare(details(FULL), yardstick(details(RETAIN)))
    expected = {
        "extraction_strength": 0.70627,
        "exact_memorization": 0.97394,
        "forget_probability": 0.88048,
        "forget_rouge": 0.82012,
        "mia_min_k": 0.99665,
        "mia_min_k_plus_plus": 0.998031,
        "mia_zlib": 0.997938,
        "mia_loss": 0.996487,
        "mia_gradnorm": 0.998481,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=5e-6)


def test_reference_attack() -> None:
    """The losses of the reference in the target's log are from another run than the retain model's own log."""
    stored = read_log(FULL)["mia_reference"]
    scores = (values(stored[side], "score") for side in ("forget", "holdout"))
    assert auc(*scores) == pytest.approx(stored["agg_value"], rel=1e-6)
    found = compare(details(FULL), yardstick(details(RETAIN)))["mia_reference"]
    assert found == pytest.approx(stored["agg_value"], abs=1e-4)


def test_privleak() -> None:
    stored = read_log(FULL)["privleak"]["agg_value"]
    found = compare(details(FULL), yardstick(details(RETAIN)))
    assert found["privleak"] == pytest.approx(stored, rel=1e-6)
    assert found["privleak_distance"] == pytest.approx(-stored, rel=1e-6)
    # Of the retain model itself open-unlearning compares with guessing, having no other log.
    alone = privleak(summarise(details(RETAIN))["mia_min_k"], 0.5)
    assert alone == pytest.approx(read_log(RETAIN)["privleak"]["agg_value"], rel=1e-6)


@pytest.mark.parametrize("name", [FULL, RETAIN])
def test_rouge_of_the_logged_generations(name: str) -> None:
    rows = read_log(name)["forget_Q_A_ROUGE"]["value_by_index"].values()
    found = [rouge(row["ground_truth"], row["generation"]) for row in rows]
    stored = [(row["rouge1_recall"], row["rougeL_recall"], row["rougeL_f1"]) for row in rows]
    assert [value for row in found for value in row] == pytest.approx([x for row in stored for x in row], abs=1e-9)


def test_sound_models_neither_repeat_nor_babble() -> None:
    for name in (FULL, RETAIN):
        found = summarise(details(name))
        assert found["forget_repetition"] < 0.01
        assert found["forget_gibberish"] < 0.03
