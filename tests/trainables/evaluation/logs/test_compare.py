"""Comparisons of evaluation logs: hand-made ones in both formats against plain Python, and the published ones."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from scipy.stats import ks_2samp

from tests.trainables.evaluation.small_logs import CHOICES, FILES, GUARD, PREFIXES, Model
from trainables.evaluation.logs.compare import compare_logs
from trainables.evaluation.logs.log import LogError
from trainables.evaluation.logs.read import parse_log, read_log
from trainables.evaluation.metrics.degeneration import gibberish, repetition
from trainables.evaluation.metrics.rouge import rouge

REPOSITORY = Path(__file__).parents[4]
LOGS = Path(os.environ.get("LETHEON_EVAL_LOGS", REPOSITORY.parent / "shared/data/tofu_eval_logs"))
published = pytest.mark.skipif(not LOGS.is_dir(), reason="no evaluation logs: set LETHEON_EVAL_LOGS to their folder")

RETAIN, KNOWING = Model(1, knows=0.1), Model(2, knows=0.95)


def report(retain: Any, unlearned: Any) -> dict[str, Any]:
    return compare_logs(parse_log(retain, "retain.json"), parse_log(unlearned, "unlearned.json"))


def quality(first: Model, second: Model, guard: float) -> float:
    return float(ks_2samp(second.ratios("forget", guard), first.ratios("forget", guard)).pvalue)


# --- what comes out


@pytest.mark.parametrize("form", ["open-unlearning", "legacy", "legacy as lists"])
def test_metrics_are_those_of_plain_python(form: str) -> None:
    guard = GUARD if form == "open-unlearning" else 0.0
    logs = [
        model.open_unlearning() if form == "open-unlearning" else model.legacy(as_lists=form.endswith("lists"))
        for model in (RETAIN, KNOWING)
    ]
    found = report(*logs)
    assert found["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, KNOWING, guard), rel=1e-12)
    for side, model in (("retain", RETAIN), ("unlearned", KNOWING)):
        metrics = found[side]["metrics"]
        assert metrics["model_utility"] == pytest.approx(model.utility(guard), rel=1e-9)
        assert metrics["forget_probability"] == pytest.approx(model.probability("forget", guard), rel=1e-12)
        ratios = model.ratios("forget", guard)
        assert metrics["forget_truth_ratio"] == pytest.approx(sum(min(r, 1 / r) for r in ratios) / len(ratios))
        for name in CHOICES:
            assert metrics[f"{name}_probability"] == pytest.approx(model.probability(name, guard), rel=1e-12)
        assert found[side]["differs"] == []


def test_probabilities_so_small_that_the_guard_decides() -> None:
    """A collapsed model: open-unlearning's truth ratios fall where TOFU's do not, and its log is read as it counts."""
    collapsed = Model(3, 0.1)
    collapsed.para["forget"] = [24.0 + row for row in range(6)]
    collapsed.wrong["forget"] = [[23.0 + row] * 5 for row in range(6)]
    found = report(RETAIN.open_unlearning(), collapsed.open_unlearning())
    assert found["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, collapsed, GUARD))
    plain = report(RETAIN.legacy(), collapsed.legacy())
    assert plain["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, collapsed, 0.0))
    assert plain["comparison"]["forget_quality"] != pytest.approx(found["comparison"]["forget_quality"])


def test_the_guard_is_taken_from_the_stored_truth_ratios() -> None:
    log = KNOWING.open_unlearning()
    for key, name in (("forget_truth_ratio", "forget"), ("ra_Truth_Ratio", "real_authors")):
        for row, ratio in enumerate(KNOWING.ratios(name, 0.0)):
            log[key]["value_by_index"][str(row)]["score"] = ratio
    for key in ("retain_Truth_Ratio", "wf_Truth_Ratio", "model_utility"):
        del log[key]
    found = report(RETAIN.open_unlearning(), log)["unlearned"]
    assert found["metrics"]["model_utility"] == pytest.approx(KNOWING.utility(0.0), rel=1e-12)


# --- what goes in


def test_order_of_rows_extra_keys_texts_and_nesting_do_not_matter() -> None:
    log = KNOWING.open_unlearning()
    strange = copy.deepcopy(log)
    for entry in strange.values():
        if "value_by_index" in entry:
            rows = list(entry["value_by_index"].items())
            random.Random(0).shuffle(rows)
            entry["value_by_index"] = dict(rows)
    first = strange["forget_Q_A_PARA_Prob"]["value_by_index"]["0"]
    first["avg_loss"] = [[str(first["avg_loss"])]]
    strange["forget_Q_A_Gibberish"] = {"agg_value": 0.5, "value_by_index": {"0": "anything"}}
    strange["note"] = "made yesterday"
    expected = report(RETAIN.open_unlearning(), log)
    found = report(RETAIN.open_unlearning(), {"TOFU": strange})
    assert found["comparison"] == pytest.approx(expected["comparison"])
    assert found["unlearned"]["metrics"] == pytest.approx(expected["unlearned"]["metrics"])
    assert found["unlearned"]["stored"]["forget_Q_A_Gibberish"] == 0.5


def test_truth_ratios_alone_are_enough_for_forget_quality() -> None:
    logs = [{"forget_truth_ratio": model.open_unlearning()["forget_truth_ratio"]} for model in (RETAIN, KNOWING)]
    found = report(*logs)
    assert found["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, KNOWING, GUARD))
    assert "forget_probability" not in found["unlearned"]["metrics"]
    assert found["unlearned"]["absent"]["forget_probability"] == "the log has no rows of forget_Q_A_Prob"


def test_truth_ratios_in_the_newer_form_are_turned_back() -> None:
    log = KNOWING.open_unlearning()
    extents = [1 / (1 + ratio) for ratio in KNOWING.ratios("forget", 0.0)]
    entry = {
        "agg_value": sum(extents) / len(extents),
        "value_by_index": {str(row): {"score": extent} for row, extent in enumerate(extents)},
    }
    alone = report(RETAIN.open_unlearning(), {"forget_truth_ratio": entry})
    assert alone["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, KNOWING, 0.0))
    beside = report(RETAIN.open_unlearning(), {**log, "forget_truth_ratio": entry})
    assert beside["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, KNOWING, GUARD))
    assert "right / (right + wrong)" in str(alone["unlearned"]["notes"]) + str(beside["unlearned"]["notes"])


def test_missing_keys_are_missing_metrics_with_their_reason() -> None:
    log = KNOWING.open_unlearning()
    del log["wf_Q_A_ROUGE"], log["mia_min_k"], log["model_utility"]
    found = report(RETAIN.open_unlearning(), log)
    unlearned = found["unlearned"]
    assert not {"model_utility", "world_facts_rouge", "mia_min_k"} & set(unlearned["metrics"])
    assert unlearned["absent"]["model_utility"] == "needs world_facts_rouge"
    assert unlearned["absent"]["world_facts_rouge"] == "the log has no rows of wf_Q_A_ROUGE"
    assert "mia_min_k" in found["absent"]["privleak"]
    legacy = report(RETAIN.legacy(), KNOWING.legacy())
    assert "older format" in legacy["unlearned"]["absent"]["extraction_strength"]


def test_a_part_of_utility_that_is_an_aggregate_only() -> None:
    log = KNOWING.open_unlearning()
    log["wf_Q_A_ROUGE"] = {"agg_value": sum(KNOWING.rouge["world_facts"]) / len(KNOWING.rouge["world_facts"])}
    found = report(RETAIN.open_unlearning(), log)["unlearned"]
    assert found["metrics"]["model_utility"] == pytest.approx(KNOWING.utility(GUARD))
    assert "world_facts_rouge" in str(found["notes"])


def test_a_summary_gives_what_aggregates_can() -> None:
    summaries = [{"mia_min_k": model.auc(), "model_utility": model.utility(GUARD)} for model in (RETAIN, KNOWING)]
    found = report(*summaries)
    assert found["unlearned"]["format"] == "open-unlearning summary"
    assert found["unlearned"]["stored"]["model_utility"] == KNOWING.utility(GUARD)
    assert found["comparison"]["privleak"] == pytest.approx((RETAIN.auc() - KNOWING.auc()) / (1 - RETAIN.auc()) * 100)
    assert set(found["absent"]) == {"forget_quality"}


def test_rows_without_a_value_are_left_out_and_named() -> None:
    log = KNOWING.open_unlearning()
    log["forget_Q_A_PARA_Prob"]["value_by_index"]["2"] = None
    log["forget_Q_A_Prob"]["value_by_index"]["1"] = {"prob": None, "avg_loss": None}
    found = report(RETAIN.open_unlearning(), log)
    kept = [row for row in range(6) if row != 2]
    ratios = [[model.ratios("forget", GUARD)[row] for row in kept] for model in (RETAIN, KNOWING)]
    assert found["comparison"]["forget_quality"] == pytest.approx(float(ks_2samp(*ratios).pvalue))
    others = [math.exp(-loss) for row, loss in enumerate(KNOWING.loss["forget"]) if row != 1]
    assert found["unlearned"]["metrics"]["forget_probability"] == pytest.approx(sum(others) / 5)
    assert any("forget_Q_A_Prob: 1 rows" in note for note in found["unlearned"]["notes"])


def test_nan_gives_nan_and_says_so() -> None:
    log = KNOWING.open_unlearning()
    log["forget_Q_A_PARA_Prob"]["value_by_index"]["2"] = {"prob": math.nan, "avg_loss": math.nan}
    found = report(RETAIN.open_unlearning(), json.loads(json.dumps(log)))
    assert math.isnan(found["comparison"]["forget_quality"])
    assert "NaN" in found["absent"]["forget_quality"]
    assert found["unlearned"]["metrics"]["model_utility"] == pytest.approx(KNOWING.utility(GUARD))


def test_stored_numbers_that_are_not_of_the_rows_are_shown() -> None:
    log = KNOWING.open_unlearning()
    log["model_utility"]["agg_value"] *= 1 + 1e-4
    log["forget_truth_ratio"]["value_by_index"]["3"]["score"] = 7.0
    log["forget_quality"] = {"agg_value": 0.5}
    found = report(RETAIN.open_unlearning(), log)
    assert found["unlearned"]["differs"] == ["model_utility"]
    assert "row 3" in str(found["unlearned"]["notes"])
    assert found["stored"] == {"forget_quality": 0.5}
    assert found["comparison"]["forget_quality"] == pytest.approx(quality(RETAIN, KNOWING, GUARD))


def test_rouge_comes_from_texts_where_only_they_are() -> None:
    part = {"generated_text": {"0": ["q", "the cat sat", "the cat sat down"]}, "avg_gt_loss": {"0": 1.0}}
    found = report(RETAIN.legacy(), {**KNOWING.legacy(), "eval_log.json": part})
    assert found["unlearned"]["metrics"]["retain_rouge"] == pytest.approx(0.75)


def test_means_of_sums_over_tokens() -> None:
    log = KNOWING.legacy()
    forget = log[FILES["forget"]]
    forget["gt_loss"] = {row: loss * 7 for row, loss in forget.pop("avg_gt_loss").items()}
    forget["num_token_gt"] = dict.fromkeys(forget["gt_loss"], 7)
    found = report(RETAIN.legacy(), log)["unlearned"]["metrics"]
    assert found["forget_probability"] == pytest.approx(KNOWING.probability("forget", 0.0))


# --- which rows


def long(knows: float, seed: int, rows: int) -> Model:
    return Model(seed, knows, {"forget": rows})


def with_texts(log: dict[str, Any], start: int) -> dict[str, Any]:
    """Answers of a forget set that begins `start` rows into a larger one."""
    for row, score in log["forget_Q_A_ROUGE"]["value_by_index"].items():
        score |= {"ground_truth": f"Answer {start + int(row)}.", "generation": "No idea."}
        score["rougeL_recall"] = 0.0
    return log


def test_three_hundred_rows_against_four_hundred() -> None:
    capped, whole = long(0.1, 1, 300), long(0.9, 2, 400)
    found = report(capped.legacy(), whole.open_unlearning())
    ratios = whole.ratios("forget", GUARD)[:300], capped.ratios("forget", 0.0)
    assert found["comparison"]["rows"] == 300
    assert found["comparison"]["forget_quality"] == pytest.approx(float(ks_2samp(*ratios).pvalue))
    assert "300 and 400 forget rows: compared on the 300 that both logs have" in found["notes"]
    assert "the forget set has 300 rows, the most that this format holds" in found["retain"]["notes"]


def test_a_log_that_lacks_rows() -> None:
    """Which is no other split: TOFU has none of this size."""
    log = KNOWING.open_unlearning()
    for key in ("forget_Q_A_PARA_Prob", "forget_Q_A_PERT_Prob", "forget_truth_ratio", "forget_Q_A_Prob"):
        del log[key]["value_by_index"]["0"], log[key]["value_by_index"]["4"]
    found = report(RETAIN.open_unlearning(), log)
    ratios = [[model.ratios("forget", GUARD)[row] for row in (1, 2, 3, 5)] for model in (RETAIN, KNOWING)]
    assert found["comparison"]["forget_quality"] == pytest.approx(float(ks_2samp(*ratios).pvalue))
    assert found["notes"][0] == "6 and 4 forget rows: compared on the 4 that both logs have"


def test_a_smaller_split_is_the_tail_of_a_larger_one() -> None:
    large, small = long(0.1, 1, 40), long(0.9, 2, 10)
    found = report(with_texts(large.open_unlearning(), 0), with_texts(small.open_unlearning(), 30))
    ratios = small.ratios("forget", GUARD), large.ratios("forget", GUARD)[30:]
    assert found["comparison"]["rows"] == 10
    assert found["comparison"]["forget_quality"] == pytest.approx(float(ks_2samp(*ratios).pvalue))


def test_different_forget_rows_are_refused() -> None:
    large, small = long(0.1, 1, 200), long(0.9, 2, 40)
    with pytest.raises(LogError, match="200 and 40 forget rows"):
        report(large.open_unlearning(), small.open_unlearning())
    with pytest.raises(LogError, match="is the same; give logs"):
        report(with_texts(small.open_unlearning(), 0), with_texts(small.open_unlearning(), 100))


def test_right_and_wrong_answers_of_different_rows_are_refused() -> None:
    log = KNOWING.open_unlearning()
    rows = log["forget_Q_A_PARA_Prob"]["value_by_index"]
    log["forget_Q_A_PARA_Prob"]["value_by_index"] = {str(int(row) + 100): value for row, value in rows.items()}
    with pytest.raises(LogError, match="share no row index"):
        report(RETAIN.open_unlearning(), log)


# --- files


def test_files_and_folders(tmp_path: Path) -> None:
    for name, part in KNOWING.legacy().items():
        (tmp_path / name).write_text(json.dumps(part))
    assert read_log(tmp_path).sets.keys() == set(PREFIXES)
    assert read_log(tmp_path / FILES["real_authors"]).sets["real_authors"].multiple_choice
    (tmp_path / "TOFU_EVAL.json").write_text("﻿" + json.dumps(KNOWING.open_unlearning()))
    assert read_log(tmp_path).format == "open-unlearning"


# --- the published logs

CHECKS = {10: (90, 0.35, 3.90547e-22), 5: (95, 0.37, 1.42757e-12), 1: (99, 0.375, 6.76073e-3)}


def pair(percent: int) -> dict[str, Any]:
    names = f"llama-3.2-1b_retain{100 - percent}.json", f"llama-3.2-1b_full_evals_forget{percent:02d}.json"
    retain, unlearned = (read_log(LOGS / name) for name in names)
    return compare_logs(retain, unlearned)


@published
@pytest.mark.parametrize("percent", CHECKS)
def test_published_forget_quality(percent: int) -> None:
    found = pair(percent)
    _, distance, p = CHECKS[percent]
    assert found["comparison"]["ks_distance"] == pytest.approx(distance, rel=1e-9)
    assert found["comparison"]["forget_quality"] == pytest.approx(p, rel=2e-6)  # six digits are printed
    assert found["comparison"]["forget_quality"] == pytest.approx(found["stored"]["forget_quality"], rel=1e-6)
    assert found["comparison"]["privleak"] == pytest.approx(found["stored"]["privleak"], rel=1e-6)
    for side in ("retain", "unlearned"):
        assert found[side]["differs"] == []
        assert not [note for note in found[side]["notes"] if "stored" in note]
        compared = set(found[side]["metrics"]) & set(found[side]["stored"])
        assert len(compared) >= 27  # every aggregate, at the tolerance of `differs`


@published
@pytest.mark.parametrize("name", ["full_evals_forget10", "retain90"])
def test_rouge_and_degeneration_of_the_published_generations(name: str) -> None:
    log = json.loads((LOGS / f"llama-3.2-1b_{name}.json").read_text())
    rows = log["forget_Q_A_ROUGE"]["value_by_index"].values()
    found = [rouge(row["ground_truth"], row["generation"]) for row in rows]
    stored = [(row["rouge1_recall"], row["rougeL_recall"], row["rougeL_f1"]) for row in rows]
    assert [value for row in found for value in row] == pytest.approx([x for row in stored for x in row], abs=1e-9)
    assert mean(repetition(row["generation"]) for row in rows) < 0.01, "sound models do not repeat themselves"
    assert mean(gibberish(row["generation"]) for row in rows) < 0.03
