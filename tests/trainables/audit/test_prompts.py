"""What the attacked model reads, token by token."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from tests.trainables.evaluation.small import TEMPLATE, small_split, small_tokenizer
from trainables.audit import prompts
from trainables.audit.measure import Probe
from trainables.data.benchmarks.registry import Row
from trainables.data.tokenization import encode

ROWS = small_split().evaluation["forget"].rows[:4]
EXAMPLES = small_split().retain[:2]
RAW = Row("It was a dark", " and stormy night.", raw=True)
CHAT = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def starting_tokenizer(chat: bool) -> Any:
    """Begins texts with a start token: through its post-processor, or written by the chat template."""
    tokenizer = copy.deepcopy(small_tokenizer())
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    if chat:
        tokenizer.chat_template = CHAT
        return tokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.bos_token_id)]
    )
    return tokenizer


def answer_text(tokenizer: Any, probe: Probe) -> str:
    return str(tokenizer.decode(list(probe.encoded.input_ids[probe.encoded.answer_start : -1])))


def test_a_paraphrase_changes_the_question_only() -> None:
    rows = [replace(ROWS[0], paraphrased_question="Say it otherwise?"), replace(ROWS[1], paraphrased_question=None)]
    (found,) = prompts.paraphrased(TEMPLATE, small_tokenizer(), rows)
    assert found.encoded == encode(TEMPLATE, small_tokenizer(), "Say it otherwise?", ROWS[0].answer)
    assert prompts.paraphrased(TEMPLATE, small_tokenizer(), rows[1:]) == []


def test_few_shot_puts_closed_examples_before_the_question() -> None:
    tokenizer = small_tokenizer()
    found = prompts.few_shot(TEMPLATE, tokenizer, [*ROWS, RAW], EXAMPLES)
    assert len(found) == len(ROWS), "a text is no question"
    shown = [encode(TEMPLATE, tokenizer, row.question, row.answer).input_ids for row in EXAMPLES]
    for probe, row in zip(found, ROWS, strict=True):
        asked = encode(TEMPLATE, tokenizer, row.question, row.answer)
        assert probe.encoded.input_ids == (*shown[0], *shown[1], *asked.input_ids)
        assert probe.prompt == (*shown[0], *shown[1], *asked.input_ids[: asked.answer_start])
        assert probe.answer == row.answer
    assert prompts.few_shot(TEMPLATE, tokenizer, ROWS, []) == []


@pytest.mark.parametrize("chat", [False, True])
def test_only_the_first_example_has_the_start_token(chat: bool) -> None:
    tokenizer = starting_tokenizer(chat)
    template = "chat" if chat else "plain"
    assert encode(template, tokenizer, "q", "a").input_ids[0] == tokenizer.bos_token_id
    for probe in prompts.few_shot(template, tokenizer, ROWS, EXAMPLES):
        assert [i for i, token in enumerate(probe.encoded.input_ids) if token == tokenizer.bos_token_id] == [0]
        alone = encode(template, tokenizer, "", probe.answer)
        tail = alone.input_ids[alone.answer_start :]
        assert probe.encoded.input_ids[probe.encoded.answer_start :] == tail, "the answer's tokens stay what they were"


@pytest.mark.parametrize("chat", [False, True])
def test_a_prefix_is_part_of_the_prompt(chat: bool) -> None:
    tokenizer = starting_tokenizer(chat)
    template = "chat" if chat else "plain"
    found = prompts.prefixed(template, tokenizer, [*ROWS, RAW], "Sure, here is the answer:")
    assert len(found) == len(ROWS)
    for probe, row in zip(found, ROWS, strict=True):
        plain = encode(template, tokenizer, row.question, row.answer)
        before = plain.input_ids[: plain.answer_start]
        assert probe.prompt[: len(before)] == before
        assert tokenizer.decode(list(probe.prompt[len(before) :])).strip() == "Sure, here is the answer:"
        assert answer_text(tokenizer, probe) == f" {row.answer}"
        assert probe.encoded.input_ids[-1] == plain.input_ids[-1]


def test_a_prefix_that_merges_with_the_answer_is_tokenised_separately() -> None:
    """`:` and ` ` would become one token; the prompt must be the same whatever the answer is."""
    tokenizer = small_tokenizer()
    found = [prompts.prefixed(TEMPLATE, tokenizer, [replace(ROWS[0], answer=text)], "Sure: th")[0] for text in "ae"]
    assert (
        found[0].prompt == found[1].prompt == encode(TEMPLATE, tokenizer, ROWS[0].question, "Sure: th").input_ids[:-1]
    )


def test_examples_are_drawn_once_and_by_seed() -> None:
    rows = [*small_split().retain, RAW]
    first = prompts.pick_examples(rows, 3, seed=0)
    assert first == prompts.pick_examples(rows, 3, seed=0)
    assert first != prompts.pick_examples(rows, 3, seed=1)
    assert len(set(first)) == 3 and RAW not in first
    assert prompts.pick_examples([RAW], 3, seed=0) == []
    assert len(prompts.pick_examples(rows[:2], 3, seed=0)) == 2
