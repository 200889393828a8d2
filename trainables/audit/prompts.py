"""Other prompts for a forgotten answer: paraphrased, after examples, or with the beginning of the answer given.

Rows become probes through the same template as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from trainables.audit.measure import Probe
from trainables.batching.rows import Encoded
from trainables.data.prompt_templates import ids, start_ids
from trainables.data.rows import Row
from trainables.data.tokenization import encode, encode_row

T = TypeVar("T")


def plain(template: str, tokenizer: Any, rows: Sequence[Row]) -> list[Probe]:
    """The rows with the prompts of training and evaluation."""
    return [Probe(encode_row(template, tokenizer, row), row.answer, closed=not row.raw) for row in rows]


def paraphrased(template: str, tokenizer: Any, rows: Sequence[Row]) -> list[Probe]:
    """The rows that have a paraphrased question, with it as the prompt; empty if the data has none."""
    other = [replace(row, question=row.paraphrased_question) for row in rows if row.paraphrased_question is not None]
    return plain(template, tokenizer, other)


def few_shot(template: str, tokenizer: Any, rows: Sequence[Row], examples: Sequence[Row]) -> list[Probe]:
    """Every question after the examples with their answers, each formatted and closed as in training.

    Only the first keeps the tokenizer's start token. Raw rows are texts, not questions, and are left out.
    """
    if not examples:
        return []
    shown = [encode(template, tokenizer, example.question, example.answer).input_ids for example in examples]
    head = (*shown[0], *(token for tokens in shown[1:] for token in _unstarted(tokenizer, tokens)))
    probes = []
    for row in rows:
        if not row.raw:
            asked = encode(template, tokenizer, row.question, row.answer)
            tokens = _unstarted(tokenizer, asked.input_ids)
            moved = len(head) - (len(asked.input_ids) - len(tokens))
            probes.append(Probe(Encoded((*head, *tokens), asked.answer_start + moved), row.answer))
    return probes


def pick_examples(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` questions drawn at random, fewer if there are fewer; raw rows are none."""
    return drawn([row for row in rows if not row.raw], count, seed)


def drawn(items: Sequence[T], count: int, seed: int) -> list[T]:
    """`count` of the items in random order, all if there are fewer; the same on every machine."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, len(items)])))
    return [items[i] for i in random.permutation(len(items))[:count].tolist()]


def prefixed(template: str, tokenizer: Any, rows: Sequence[Row], prefix: str) -> list[Probe]:
    """Every question with `prefix` as the beginning of the answer; it is part of the prompt, and the answer follows.

    Raw rows have no turn for an answer, and are left out.
    """
    probes = []
    for row in rows:
        if not row.raw:
            *begun, end = encode(template, tokenizer, row.question, prefix).input_ids
            whole = encode(template, tokenizer, row.question, f"{prefix} {row.answer}").input_ids
            # If the tokenizer would merge prefix and answer, they are tokenised separately.
            joined = list(whole[: len(begun)]) == begun
            tokens = whole if joined else (*begun, *ids(tokenizer, f" {row.answer}"), end)
            probes.append(Probe(Encoded(tuple(tokens), len(begun)), row.answer))
    return probes


def _unstarted(tokenizer: Any, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens without the start token, which chat templates write themselves."""
    start = start_ids(tokenizer) or [tokenizer.bos_token_id]
    return tokens[1:] if list(tokens[:1]) == start else tokens
