"""The passes over a model: what it makes of given answers, what it answers itself, and gradients of single rows.

Sharded over the ranks, results in the caller's order and the same on every rank. Knows questions and answers, and what
is read off one forward pass; not what for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trainables.config import EvaluationConfig
from trainables.data.rows import Row
from trainables.data.template import encode_row, end_id, row_prompt_ids
from trainables.evaluation.asked import Pair, Prompt, Reading, Tokens
from trainables.evaluation.batches import deal
from trainables.evaluation.generate import generate
from trainables.evaluation.tokens import read_tokens
from trainables.group import Group
from trainables.scores import LOGITS, Encoded, collate, score

T = TypeVar("T")


@lru_cache(maxsize=1 << 16)  # the rows of a benchmark are tokenised once in a process, not once an epoch
def _encode(template: str, tokenizer: PreTrainedTokenizerBase, pair: Pair) -> Encoded:
    return encode_row(template, tokenizer, Row(pair.question, pair.answer, raw=pair.raw))


@lru_cache(maxsize=1 << 14)
def _prompt_ids(template: str, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    return row_prompt_ids(template, tokenizer, Row(prompt.question, prompt.begins, raw=prompt.raw))


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

    def encoded(self, pair: Pair) -> Encoded:
        return _encode(self.template, self.tokenizer, pair)

    def prompt(self, prompt: Prompt) -> tuple[int, ...]:
        return _prompt_ids(self.template, self.tokenizer, prompt)


@torch.no_grad()
def read_answers(
    examinee: Examinee,
    pairs: Iterable[Pair],
    closely: Collection[Pair] = frozenset(),
    min_k_plus_plus: Collection[Pair] = frozenset(),
) -> dict[Pair, Reading]:
    """Every pair in one teacher-forced forward pass; one that comes up several times is scored once.

    `closely`: the pairs whose single tokens are looked at; `min_k_plus_plus`: those that min-k++ needs normalised
    log-probs of. Softmax in float32, sums in float64.
    """
    unique = list(dict.fromkeys(pairs))
    closer, closest = frozenset(closely) | frozenset(min_k_plus_plus), frozenset(min_k_plus_plus)
    rows = [examinee.encoded(pair) for pair in unique]

    def one_batch(numbers: Sequence[int]) -> list[Reading]:
        some = [unique[i] for i in numbers]
        batch = collate([rows[i] for i in numbers], examinee.end).to(examinee.group.device)
        scores = score(examinee.model, batch, LOGITS)
        losses = (-scores.token_log_probs.double().sum(-1) / scores.lengths).tolist()
        counts = scores.lengths.tolist()
        share = examinee.settings.min_k
        looked: dict[int, Tokens] = read_tokens(
            scores,
            {i: not pair.raw for i, pair in enumerate(some) if pair in closer},
            {i for i, pair in enumerate(some) if pair in closest},
            share,
        )
        return [Reading(loss, count, looked.get(i)) for i, (loss, count) in enumerate(zip(losses, counts, strict=True))]

    found = _everywhere(examinee, [len(row.input_ids) for row in rows], one_batch)
    return {pair: found[i] for i, pair in enumerate(unique)}


def answer_losses(examinee: Examinee, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Mean negative log-likelihood per answer token (nats, end of sequence included) of every pair."""
    return {pair: reading.loss for pair, reading in read_answers(examinee, pairs).items()}


def answers(examinee: Examinee, prompts: Iterable[Prompt]) -> dict[Prompt, str]:
    """The greedily generated answer to every prompt, special tokens left out. Each prompt is asked once."""
    unique = list(dict.fromkeys(prompts))
    usual = examinee.settings.max_new_tokens
    limits = {prompt: usual if prompt.max_new_tokens is None else prompt.max_new_tokens for prompt in unique}
    found: dict[Prompt, str] = {}
    for limit in sorted(set(limits.values())):
        found |= _answers(examinee, [prompt for prompt in unique if limits[prompt] == limit], limit)
    return {prompt: found[prompt] for prompt in unique}


def _answers(examinee: Examinee, prompts: Sequence[Prompt], limit: int) -> dict[Prompt, str]:
    end = examinee.end
    ids = [examinee.prompt(prompt) for prompt in prompts]

    def one_batch(numbers: Sequence[int]) -> list[tuple[int, ...]]:
        return generate(
            examinee.model,
            [ids[i] for i in numbers],
            limit,
            eos_id=end,
            pad_id=end,
            all_done=examinee.group.all,
            device=examinee.group.device,
        )

    tokens = _everywhere(examinee, [len(prompt) for prompt in ids], one_batch)
    decode = examinee.tokenizer.decode
    texts = [str(decode(list(tokens[i]), skip_special_tokens=True)) for i in range(len(prompts))]
    return {prompt: _before(text, prompt.stop) for prompt, text in zip(prompts, texts, strict=True)}


def _before(text: str, stop: str | None) -> str:
    return text.split(stop, 1)[0] if stop else text


def gradient_norms(examinee: Examinee, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Of every pair: the mean over parameter tensors of the L2 norm of the gradient of the mean loss over answer
    tokens, end of sequence left out (arXiv 2402.17012 as open-unlearning has it). One backward pass a pair.

    Gradients that parameters hold already are left alone. NaN where nothing but the end of sequence is an answer.
    Raises ValueError for sharded parameters (ZeRO stage 3), which no process has whole.
    """
    unique = list(dict.fromkeys(pairs))
    model = examinee.model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model {type(model).__name__} must be a torch.nn.Module to have gradients; pass the module")
    parameters = list(model.parameters())
    if any(hasattr(parameter, "ds_id") for parameter in parameters):
        raise ValueError("gradient_norm=true: parameters are sharded by ZeRO stage 3; use stage 2 or turn it off")
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        norms = _everywhere(
            examinee,
            [1] * len(unique),
            lambda numbers: [_gradient_norm(examinee, parameters, unique[i]) for i in numbers],
        )
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return {pair: norms[i] for i, pair in enumerate(unique)}


def _gradient_norm(examinee: Examinee, parameters: Sequence[torch.nn.Parameter], pair: Pair) -> float:
    batch = collate([examinee.encoded(pair)], examinee.end).to(examinee.group.device)
    with torch.enable_grad():
        scores = score(examinee.model, batch)
        log_probs = scores.token_log_probs[0][scores.mask[0]]
        loss = -log_probs[: len(log_probs) - (not pair.raw)].mean()
        gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, parameters, allow_unused=True)
    return float(torch.stack([gradient.float().norm() for gradient in gradients if gradient is not None]).mean())


def _everywhere(
    examinee: Examinee, lengths: Sequence[int], one_batch: Callable[[Sequence[int]], Sequence[T]]
) -> dict[int, T]:
    """Results by item number, computed by the ranks in turn and gathered on all."""
    group = examinee.group
    mine: dict[int, T] = {}
    for numbers in deal(lengths, examinee.settings.batch_tokens, group.rank, group.size):
        mine.update(zip(numbers, one_batch(numbers), strict=True))
    return dict(group.gather(list(mine.items())))
