"""An evaluation against one written out row by row, and what it must not depend on."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from torch.multiprocessing.spawn import spawn

from tests.trainables.evaluation.small import (
    ALL_SETTINGS,
    SETTINGS,
    TEMPLATE,
    CountedCalls,
    assert_same,
    evaluate_as_rank,
    examine,
    fresh_model,
    small_model,
    small_split,
    small_tokenizer,
)
from trainables.config import EvaluationConfig
from trainables.data import EvalSet, Row
from trainables.data.template import encode, prompt_ids
from trainables.evaluation import UTILITY_SETS, Evaluation, compare, evaluate, evaluation_from_json, yardstick
from trainables.group import Group

SETS = ("forget", *UTILITY_SETS)
UTILITY = [f"{name}_{kind}" for name in UTILITY_SETS for kind in ("probability", "rouge", "truth_ratio")]


@cache
def examined() -> Evaluation:
    return examine(small_model())


def normalised_probability(question: str, answer: str) -> float:
    """p(answer | question)^(1 / tokens) from a softmax in float64 on one unpadded row."""
    row = encode(TEMPLATE, small_tokenizer(), question, answer)
    ids = torch.tensor([row.input_ids])
    with torch.no_grad():
        distribution = small_model()(input_ids=ids).logits[0].double().softmax(-1)
    tokens = range(row.answer_start, len(row.input_ids))
    product = math.prod(float(distribution[t - 1, row.input_ids[t]]) for t in tokens)
    return float(product ** (1 / len(tokens)))


def generated(question: str) -> str:
    prompt = prompt_ids(TEMPLATE, small_tokenizer(), question)
    ids = torch.tensor([prompt])
    whole = small_model().generate(  # type: ignore[misc]
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=SETTINGS.max_new_tokens, do_sample=False
    )
    return str(small_tokenizer().decode(whole[0, len(prompt) :], skip_special_tokens=True))


def expected_row(row: Row, multiple_choice: bool) -> tuple[float, float, float]:
    """(probability, ROUGE-L recall, truth ratio) of one row by TOFU's definitions."""
    truth = normalised_probability(row.question, row.answer)
    paraphrase = truth
    if row.paraphrased_answer is not None:
        paraphrase = normalised_probability(row.question, row.paraphrased_answer)
    wrong = [normalised_probability(row.question, answer) for answer in row.perturbed_answers]
    rouge = RougeScorer(["rougeL"], use_stemmer=True).score(row.answer, generated(row.question))["rougeL"].recall
    geometric = math.prod(wrong) ** (1 / len(wrong))
    return truth / (truth + sum(wrong)) if multiple_choice else truth, rouge, geometric / paraphrase


def test_every_metric_equals_the_row_by_row_evaluation() -> None:
    found = examined().metrics
    for name in SETS:
        rows = small_split().evaluation[name]
        probabilities, rouge, ratios = zip(*(expected_row(row, rows.multiple_choice) for row in rows.rows), strict=True)
        if name == "forget":
            assert yardstick(examined().details)["truth_ratios"] == pytest.approx(ratios, rel=1e-5)
            scores = [min(ratio, 1 / ratio) for ratio in ratios]
        else:
            scores = [max(0.0, 1 - ratio) for ratio in ratios]
        assert found[f"{name}_probability"] == pytest.approx(sum(probabilities) / len(rouge), rel=1e-6)
        assert found[f"{name}_rouge"] == pytest.approx(sum(rouge) / len(rouge), rel=1e-9)
        assert found[f"{name}_truth_ratio"] == pytest.approx(sum(scores) / len(rouge), rel=1e-6)
    assert found["model_utility"] == pytest.approx(9 / sum(1 / found[key] for key in UTILITY))
    assert 0.1 < found["model_utility"] < 0.95, "the model must be neither ignorant nor perfect to test anything"


@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_batch_size_does_not_matter(batch_tokens: int) -> None:
    settings = EvaluationConfig(max_new_tokens=SETTINGS.max_new_tokens, batch_tokens=batch_tokens)
    assert_same(examine(small_model(), settings), examined())


def test_every_question_is_read_once_and_every_answer_scored_once() -> None:
    model = CountedCalls(small_model())
    evaluate(model, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    wanted = {
        encode(TEMPLATE, small_tokenizer(), row.question, answer)
        for rows in small_split().evaluation.values()
        for row in rows.rows
        for answer in (row.answer, row.paraphrased_answer or row.answer, *row.perturbed_answers)
    }
    assert sorted(model.prompts) == sorted({row.input_ids[: row.answer_start - 1] for row in wanted})
    assert sorted(model.scored) == sorted(row.input_ids[row.answer_start - 1 : -1] for row in wanted)


def test_two_ranks_find_what_one_finds(tmp_path: Path) -> None:
    torch.save(small_model().state_dict(), tmp_path / "weights.pt")
    spawn(evaluate_as_rank, (2, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second, "results and forward passes must be the same on both ranks"
    assert_same(evaluation_from_json(first["found"]), examine(small_model(), ALL_SETTINGS))


@pytest.mark.slow
def test_two_ranks_with_a_part_of_the_weights_each_stay_in_step(tmp_path: Path) -> None:
    torch.save(small_model().state_dict(), tmp_path / "weights.pt")
    spawn(evaluate_as_rank, (2, tmp_path, True), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert_same(evaluation_from_json(first["found"]), examine(small_model()))


def test_a_model_in_training_is_evaluated_in_evaluation_mode_and_given_back() -> None:
    model = CountedCalls(fresh_model())
    model.train()
    evaluate(model, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    assert model.modes == {False}
    assert model.model.training


def test_nan_weights_give_nan_metrics_at_once() -> None:
    model = fresh_model()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    calls = CountedCalls(model)
    found = evaluate(calls, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    assert found.metrics.keys() == examined().metrics.keys()
    assert all(math.isnan(value) for key, value in found.metrics.items() if key != "eval_seconds")
    assert calls.decoded == 0, "a model without a distribution is not asked to generate"
    compared = compare(found, yardstick(examined().details), 0.9)
    assert compared.keys() == compare(examined(), yardstick(examined().details), 0.9).keys()
    assert all(math.isnan(value) for key, value in compared.items() if key != "eval_seconds")


def test_tasks_of_the_harness_are_run_on_sound_models_only() -> None:
    settings = SETTINGS.model_copy(update={"harness": ("mmlu",)})
    lost = fresh_model()
    with torch.no_grad():
        lost.model.norm.weight.fill_(math.nan)
    assert math.isnan(examine(lost, settings).metrics["harness_mmlu"])
    if importlib.util.find_spec("lm_eval") is None:
        with pytest.raises(ValueError, match=r"letheon\[harness\]"):
            examine(small_model(), settings)


def test_an_evaluation_is_json() -> None:
    assert evaluation_from_json(json.loads(json.dumps(asdict(examined())))) == examined()


def test_samples_are_the_first_rows_of_forget_and_retain() -> None:
    samples = examined().samples
    assert [sample["set"] for sample in samples] == ["forget"] * 4 + ["retain"] * 4
    first = small_split().evaluation["forget"].rows[0]
    assert samples[0] == {
        "set": "forget",
        "question": first.question,
        "answer": first.answer,
        "generated": generated(first.question),
    }


@pytest.mark.parametrize("wrong", [((), ("a",)), (("a",), ("a", "b"))])
def test_a_set_without_equally_many_wrong_answers_is_refused(wrong: tuple[tuple[str, ...], ...]) -> None:
    rows = tuple(Row(f"q{i}", "a", None, answers) for i, answers in enumerate(wrong))
    split = replace(small_split(), evaluation={**small_split().evaluation, "world_facts": EvalSet(rows, True)})
    with pytest.raises(ValueError, match="world_facts"):
        evaluate(small_model(), small_tokenizer(), TEMPLATE, split, SETTINGS, Group())


def test_an_empty_set_is_refused() -> None:
    split = replace(small_split(), evaluation={**small_split().evaluation, "retain": EvalSet(())})
    with pytest.raises(ValueError, match="retain has 0 rows"):
        evaluate(small_model(), small_tokenizer(), TEMPLATE, split, SETTINGS, Group())
