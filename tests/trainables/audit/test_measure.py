"""What is measured through a prompt equals what the evaluation measures, and a row worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from tests.trainables.evaluation.small import SETTINGS, TEMPLATE, small_model, small_split
from tests.trainables.evaluation.small import small_tokenizer as tokenizer
from trainables.audit import prompts
from trainables.audit.measure import Probe, Subject, measure
from trainables.data.benchmarks.registry import Row
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.metrics.memorisation import extraction_strength
from trainables.runtime.ranks import Group

ROWS = small_split().evaluation["forget"].rows


def subject(model: torch.nn.Module | None = None, stop: str | None = None, batch_tokens: int = 512) -> Subject:
    model = small_model() if model is None else model
    return Subject(
        model, tokenizer(), int(tokenizer().eos_token_id), SETTINGS.max_new_tokens, batch_tokens, Group(), stop
    )


def by_row(probe: Probe, model: torch.nn.Module) -> tuple[float, float, str]:
    """Probability, extraction strength and text of a probe: one plain pass in float64 probabilities, one generation."""
    ids, start = probe.encoded.input_ids, probe.encoded.answer_start
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1]
    answer = torch.tensor(ids[start:])
    chosen = logits.double().log_softmax(-1).gather(-1, answer[:, None])
    hits = (logits.argmax(-1) == answer).tolist()
    text = generate(model, [probe.prompt], SETTINGS.max_new_tokens, {tokenizer().eos_token_id}, 0)[0]
    strength = extraction_strength(hits[: len(hits) - probe.closed])
    return math.exp(float(chosen.mean())), strength, str(tokenizer().decode(list(text), skip_special_tokens=True))


@pytest.mark.parametrize("attack", ["plain", "few_shot", "prefixed", "raw"])
def test_equals_one_row_after_another(attack: str) -> None:
    """Prompts shared by several answers, and answers of which the model recites nothing, a part or all."""
    examples, raw = small_split().retain[:2], [replace(row, raw=True) for row in ROWS]
    probes: Sequence[Probe] = {
        "plain": [*prompts.plain(TEMPLATE, tokenizer(), ROWS)] * 2,
        "few_shot": prompts.few_shot(TEMPLATE, tokenizer(), ROWS, examples),
        "prefixed": prompts.prefixed(TEMPLATE, tokenizer(), ROWS, "Sure:"),
        "raw": prompts.plain(TEMPLATE, tokenizer(), raw),
    }[attack]
    found = measure(subject(), probes)
    expected = [by_row(probe, small_model()) for probe in probes]
    assert list(found.probability) == pytest.approx([value for value, _, _ in expected], abs=1e-6)
    assert list(found.strength) == [value for _, value, _ in expected]
    assert list(found.generated) == [text for _, _, text in expected]


def test_the_end_counts_only_where_it_is() -> None:
    """An open text's last token is part of what is recited; a closing token is not."""
    raw = Row(f"Question: {ROWS[0].question}\nAnswer:", f" {ROWS[0].answer}", raw=True)
    opened = prompts.plain(TEMPLATE, tokenizer(), [raw])
    closed = prompts.plain(TEMPLATE, tokenizer(), [replace(ROWS[0])])
    assert opened[0].encoded.input_ids == closed[0].encoded.input_ids[:-1]
    assert measure(subject(), opened).strength[0] == measure(subject(), closed).strength[0] == 1.0


def test_text_is_cut_before_the_stop() -> None:
    probes = prompts.plain(TEMPLATE, tokenizer(), ROWS[:2])
    whole = measure(subject(), probes).generated
    word = whole[0].split()[2]
    assert measure(subject(stop=word), probes).generated[0] == whole[0].partition(word)[0]


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="no probes"):
        measure(subject(), [])
