"""Statistics of single tokens, against values computed by hand. Real models are in `test_golden_metrics`."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.trainables.evaluation.small import (
    SETTINGS,
    TEMPLATE,
    CountedCalls,
    fresh_model,
    small_model,
    small_split,
    small_tokenizer,
)
from trainables.batching.rows import Batch, Encoded, collate
from trainables.config import EvaluationConfig
from trainables.data.benchmarks.registry import EvalSet, Row
from trainables.evaluation.decoding.answers import answers
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.scoring.evaluator import EvaluatedModel
from trainables.evaluation.scoring.gradient_norms import gradient_norms
from trainables.evaluation.scoring.queries import Pair, Prompt
from trainables.evaluation.scoring.read import answer_losses, read_answers
from trainables.evaluation.scoring.teacher_forced import teacher_forced_scores
from trainables.evaluation.scoring.token_stats import token_stats
from trainables.model.scoring import LOGITS, score
from trainables.runtime.ranks import Group

RAW = EvalSet(
    (Row("The river", " rises in the hills and", raw=True), Row("", "A text without a beginning", raw=True)),
    role="forget",
    rouge="f1",
    max_new_tokens=6,
)


class KnownLogits(torch.nn.Module):
    """Says the same whatever it reads: (positions, vocabulary) logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, input_ids: torch.Tensor, logits_to_keep: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits[logits_to_keep].expand(len(input_ids), -1, -1))


def test_by_hand() -> None:
    """Prompt 0; answer 1 2 1 and the end 3. The likeliest tokens are 1 0 1 3: the second is a miss."""
    probabilities = torch.tensor(
        [[0.1, 0.6, 0.2, 0.1], [0.5, 0.2, 0.2, 0.1], [0.1, 0.7, 0.1, 0.1], [0.2, 0.2, 0.2, 0.4]]
    )
    batch: Batch = collate([Encoded((0, 1, 2, 1, 3), 1)], pad_id=3)
    scores = score(KnownLogits(probabilities.log()), batch, LOGITS)
    found = token_stats(teacher_forced_scores(scores), {0: True}, {0}, share=0.7)[0]
    assert found.extraction_strength == pytest.approx(1 / 3)
    assert found.exact_memorization == pytest.approx(2 / 3)
    assert found.min_k == pytest.approx(-(math.log(0.2) + math.log(0.6)) / 2, rel=1e-6)

    def z(row: int, token: int) -> float:
        p: list[float] = probabilities[row].tolist()
        mean = sum(x * math.log(x) for x in p)
        deviation = math.sqrt(sum(x * math.log(x) ** 2 for x in p) - mean**2)
        return (math.log(p[token]) - mean) / deviation

    lowest = sorted([z(0, 1), z(1, 2), z(2, 1)])[:2]
    assert found.min_k_plus_plus == pytest.approx(-sum(lowest) / 2, rel=1e-4)
    raw = token_stats(teacher_forced_scores(scores), {0: False}, set(), share=1.0)[0]
    assert raw.exact_memorization == pytest.approx(3 / 4), "raw text has no end to leave out"
    assert raw.min_k_plus_plus is None


def test_a_certain_and_an_impossible_token_are_numbers() -> None:
    logits = torch.tensor([[0.0, -math.inf, -math.inf], [-math.inf, 0.0, 0.0], [0.0, 0.0, 0.0]])
    scores = score(KnownLogits(logits), collate([Encoded((1, 0, 1, 2), 1)], pad_id=2), LOGITS)
    found = token_stats(teacher_forced_scores(scores), {0: True}, {0}, share=1.0)[0]
    assert found.extraction_strength == 1.0
    assert found.min_k_plus_plus is not None
    assert math.isfinite(found.min_k_plus_plus)


def test_raw_text_is_continued_without_a_template() -> None:
    split = replace(small_split(), evaluation={**small_split().evaluation, "forget_text": RAW})
    found = evaluate(small_model(), small_tokenizer(), TEMPLATE, split, SETTINGS, Group())
    texts = found.details["forget_text"].generated
    assert texts is not None
    ids = small_tokenizer()("The river", add_special_tokens=False)["input_ids"]
    whole = small_model().generate(  # type: ignore[misc]
        input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=6, do_sample=False
    )
    assert texts[0] == small_tokenizer().decode(whole[0, len(ids) :], skip_special_tokens=True)


def evaluated(model: torch.nn.Module, settings: EvaluationConfig = SETTINGS) -> EvaluatedModel:
    return EvaluatedModel(model, small_tokenizer(), TEMPLATE, settings, Group())


def test_answers_end_before_the_stop_and_at_their_own_limit() -> None:
    question = small_split().evaluation["forget"].rows[0].question
    whole = answers(evaluated(small_model()), [Prompt(question)])[Prompt(question)]
    stop = whole.split()[1]
    prompts = [Prompt(question, stop=stop), Prompt(question, max_new_tokens=2), Prompt(question)]
    found = answers(evaluated(small_model()), prompts)
    assert list(found) == prompts
    assert found[prompts[0]] == whole[: whole.index(stop)]
    assert whole.startswith(found[prompts[1]])
    assert len(found[prompts[1]]) < len(whole)


def test_gradients_that_a_model_holds_are_left_alone() -> None:
    model = fresh_model()
    row = small_split().evaluation["forget"].rows[0]
    for parameter in list(model.parameters())[1:]:
        parameter.requires_grad_(False)
    embedding = next(model.parameters())
    embedding.grad = torch.ones_like(embedding)
    pair = Pair(row.question, row.answer)
    some = gradient_norms(evaluated(model), [pair])
    assert bool((embedding.grad == 1).all())
    assert [parameter.requires_grad for parameter in model.parameters()].count(True) == 1
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    assert gradient_norms(evaluated(model), [pair, pair]) == pytest.approx(some), "frozen parameters count too"


def test_gradients_of_sharded_parameters_are_refused() -> None:
    model = fresh_model()
    next(model.parameters()).ds_id = 0  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="ZeRO stage 3"):
        gradient_norms(evaluated(model), [Pair("a", "b")])


def test_one_forward_feeds_all() -> None:
    calls = CountedCalls(small_model())
    pairs = [Pair(row.question, row.answer) for row in small_split().evaluation["forget"].rows]
    read_answers(evaluated(calls), pairs, pairs, pairs)
    closely = calls.calls
    losses = answer_losses(evaluated(calls), pairs)
    assert calls.calls == 2 * closely
    assert losses == {pair: reading.loss for pair, reading in read_answers(evaluated(calls), pairs).items()}
