"""Prompts that are read once for several answers: the scores of rows that are read one by one, whatever the lengths."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.evaluation.small import (
    SETTINGS,
    TEMPLATE,
    small_model,
    small_split,
    small_tokenizer,
    windowed_model,
)
from trainables.evaluation.decoding.answers import answers, known_prefixes
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.scoring.evaluator import EvaluatedModel
from trainables.evaluation.scoring.queries import EvalQueries, Pair
from trainables.evaluation.scoring.read import read_answers
from trainables.evaluation.scoring.teacher_forced import UnsharedError, read_logits, score_answers
from trainables.runtime.ranks import Group

Tokens = tuple[int, ...]
PAD = 0


def alone(prompt: Tokens, answer: Tokens) -> tuple[list[float], list[int]]:
    """(log-probabilities, likeliest tokens) of one unpadded row, its softmax in float64."""
    model = small_model()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].double()
    chosen = torch.tensor(answer).unsqueeze(-1)
    return logits.log_softmax(-1).gather(-1, chosen).squeeze(-1).tolist(), logits.argmax(-1).tolist()


some_tokens = st.lists(st.integers(0, 1000), min_size=1, max_size=9).map(tuple)
questions = st.lists(st.tuples(some_tokens, st.lists(some_tokens, min_size=1, max_size=4)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=30)
@given(questions)
def test_every_answer_equals_its_row_read_alone(asked: list[tuple[Tokens, list[Tokens]]]) -> None:
    prompts, texts = zip(*asked, strict=True)
    forced = score_answers(small_model(), prompts, texts, PAD)
    rows = [(prompt, text) for prompt, each in asked for text in each]
    assert forced.scores.lengths.tolist() == [len(text) for _, text in rows]
    for i, (prompt, text) in enumerate(rows):
        expected, likeliest = alone(prompt, text)
        found = forced.scores.token_log_probs[i].tolist()
        assert found[: len(text)] == pytest.approx(expected, abs=1e-5, rel=1e-5)
        assert not any(found[len(text) :]), "padding says nothing"
        assert forced.likeliest[i, : len(text)].tolist() == likeliest


def test_chunks_do_not_show() -> None:
    """More logits than are looked at together, with an impossible token and one that is certain among them."""
    logits = torch.randn(700, 1500, generator=torch.Generator().manual_seed(0)) * 4
    targets = torch.randint(0, 1500, (700,), generator=torch.Generator().manual_seed(1))
    logits[0, targets[0]] = -math.inf
    logits[699] = -math.inf
    logits[699, targets[699]] = 3.0
    log_probs, likeliest = read_logits(logits, targets)
    expected = -torch.nn.functional.cross_entropy(logits.double(), targets, reduction="none")
    assert log_probs[0] == -math.inf
    assert log_probs[699] == 0.0
    torch.testing.assert_close(log_probs.double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(likeliest, logits.argmax(-1))


def test_layers_that_keep_a_window_cannot_share_and_are_read_row_by_row() -> None:
    model = windowed_model(len(small_tokenizer()))
    with pytest.raises(UnsharedError, match="SlidingWindow"):
        score_answers(model, [(1, 2)], [[(3, 4)]], PAD)
    row = small_split().evaluation["forget"].rows[0]
    evaluated = EvaluatedModel(model, small_tokenizer(), TEMPLATE, SETTINGS, Group())
    pair = Pair(row.question, row.answer)
    reading = read_answers(evaluated, [pair], [pair], [pair])[pair]
    encoded = evaluated.encoded(pair)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([encoded.input_ids])).logits[0].double()
    tokens = range(encoded.answer_start, len(encoded.input_ids))
    expected = -sum(float(logits[t - 1].log_softmax(-1)[encoded.input_ids[t]]) for t in tokens) / len(tokens)
    assert reading.loss == pytest.approx(expected, rel=1e-5)
    assert reading.tokens is not None
    found = evaluate(model, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    assert math.isfinite(found.metrics["model_utility"])


def asked_of_small_model() -> tuple[EvaluatedModel, EvalQueries]:
    return EvaluatedModel(small_model(), small_tokenizer(), TEMPLATE, SETTINGS, Group()), EvalQueries(
        small_split().evaluation
    )


def test_what_is_recited_need_not_be_decoded_and_the_rest_goes_on_from_there() -> None:
    """The same texts as without readings; and the small model recites some answers, breaks off in others."""
    evaluated, asked = asked_of_small_model()
    readings = read_answers(evaluated, asked.pairs)
    prompts = list(asked.prompts(readings))
    assert answers(evaluated, prompts, readings) == answers(evaluated, prompts)
    ids = {evaluated.prompt(prompt) for prompt in prompts}
    begun = known_prefixes(ids, ((evaluated.encoded(pair), reading) for pair, reading in readings.items()))
    whole = [evaluated.end in tokens for tokens in begun.values()]
    assert 3 < sum(whole) < len(whole)
    assert any(len(tokens) > 1 for tokens in begun.values() if evaluated.end not in tokens)


@settings(deadline=None, max_examples=20)
@given(st.lists(some_tokens, min_size=1, max_size=4), st.integers(1, 30))
def test_beginnings_are_what_decoding_writes(wrong: list[Tokens], limit: int) -> None:
    """Also holds for the greedy text itself, cut anywhere and continued by other tokens."""
    evaluated, asked = asked_of_small_model()
    end = evaluated.end
    prompt = evaluated.encoded(asked.pairs[0]).input_ids[: evaluated.encoded(asked.pairs[0]).answer_start]
    text = generate(small_model(), [prompt], limit, {end}, end)[0]
    cuts = [text[: len(text) * i // len(wrong)] + tokens for i, tokens in enumerate(wrong)]
    forced = score_answers(small_model(), [prompt], [cuts], PAD)
    for i, cut in enumerate(cuts):
        said = forced.likeliest[i, : len(cut)].tolist()
        hits = [said[j] == cut[j] for j in range(len(cut))]
        recited = hits.index(False) if False in hits else len(cut)
        begun = (*cut[:recited], *said[recited : recited + 1])
        again = generate(small_model(), [prompt], len(begun), {end}, end)[0]
        assert again == (begun[: begun.index(end)] if end in begun else begun)


def test_every_row_has_its_own_limit() -> None:
    evaluated, asked = asked_of_small_model()
    prompts = [evaluated.encoded(pair).input_ids[: evaluated.encoded(pair).answer_start] for pair in asked.pairs[:40:4]]
    limits = [1 + 3 * i % 11 for i in range(len(prompts))]
    found = generate(small_model(), prompts, limits, {evaluated.end}, evaluated.end)
    pairs = zip(prompts, limits, strict=True)
    assert found == [generate(small_model(), [ids], limit, {evaluated.end}, evaluated.end)[0] for ids, limit in pairs]
    assert len({len(tokens) for tokens in found}) > 3
