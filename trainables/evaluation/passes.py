"""The two passes over a model: losses of given answers, and generated answers. Sharded over the ranks, results in the
caller's order and the same on every rank. Knows questions and answers, no metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from transformers import PreTrainedTokenizerBase

from trainables.config import EvaluationConfig
from trainables.data.template import encode, end_id, prompt_ids
from trainables.evaluation.batches import deal
from trainables.evaluation.generate import generate
from trainables.group import Group
from trainables.scores import Encoded, collate, score

Pair = tuple[str, str]
T = TypeVar("T")

# The rows of a benchmark are tokenised once in a process, not once an epoch.
_encode: Callable[..., Encoded] = lru_cache(maxsize=1 << 16)(encode)
_prompt_ids: Callable[..., tuple[int, ...]] = lru_cache(maxsize=1 << 14)(prompt_ids)


@dataclass(frozen=True)
class Examinee:
    """What is evaluated, and how: a model (in evaluation mode), its tokenizer and template, settings, and the ranks."""

    model: Callable[..., Any]
    tokenizer: PreTrainedTokenizerBase
    template: str
    settings: EvaluationConfig
    group: Group

    @property
    def end(self) -> int:
        """Id of the token that closes every answer; attention never sees it as padding."""
        return end_id(self.template, self.tokenizer)


@torch.no_grad()
def answer_losses(examinee: Examinee, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Mean negative log-likelihood per answer token (nats, end of sequence included) of every (question, answer).

    A pair that comes up several times is scored once. Softmax in float32, sums in float64.
    """
    unique = list(dict.fromkeys(pairs))
    end = examinee.end
    rows = [_encode(examinee.template, examinee.tokenizer, *pair) for pair in unique]

    def one_batch(numbers: Sequence[int]) -> list[float]:
        batch = collate([rows[i] for i in numbers], end).to(examinee.group.device)
        scores = score(examinee.model, batch)
        losses: list[float] = (-scores.token_log_probs.double().sum(-1) / scores.lengths).tolist()
        return losses

    losses = _everywhere(examinee, [len(row.input_ids) for row in rows], one_batch)
    return {pair: losses[i] for i, pair in enumerate(unique)}


def answers(examinee: Examinee, questions: Iterable[str]) -> dict[str, str]:
    """The greedily generated answer to every question, special tokens left out. Each question is asked once."""
    unique = list(dict.fromkeys(questions))
    end = examinee.end
    prompts = [_prompt_ids(examinee.template, examinee.tokenizer, question) for question in unique]

    def one_batch(numbers: Sequence[int]) -> list[tuple[int, ...]]:
        return generate(
            examinee.model,
            [prompts[i] for i in numbers],
            examinee.settings.max_new_tokens,
            eos_id=end,
            pad_id=end,
            all_done=examinee.group.all,
            device=examinee.group.device,
        )

    tokens = _everywhere(examinee, [len(prompt) for prompt in prompts], one_batch)
    decode = examinee.tokenizer.decode
    return {question: str(decode(list(tokens[i]), skip_special_tokens=True)) for i, question in enumerate(unique)}


def _everywhere(
    examinee: Examinee, lengths: Sequence[int], one_batch: Callable[[Sequence[int]], Sequence[T]]
) -> dict[int, T]:
    """Results by item number, computed by the ranks in turn and gathered on all."""
    group = examinee.group
    mine: dict[int, T] = {}
    for numbers in deal(lengths, examinee.settings.batch_tokens, group.rank, group.size):
        mine.update(zip(numbers, one_batch(numbers), strict=True))
    return dict(group.gather(list(mine.items())))
