"""Decoding with a growing cache, for any model: rows that have ended leave the batch.

The host checks after every token which rows have ended, which costs nothing on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.evaluation.decoding.growing_cache import select_rows, use_growing_layers

_DROP_SHARE = 8  # dropping copies the cache, so it waits until more than 1 / 8 of the rows have ended

Tokens = tuple[int, ...]


class Prefilled(NamedTuple):
    """Prompts that a model has read: last logits (rows, vocabulary), cache, attention mask (rows, tokens) and last
    positions (rows, 1).
    """

    logits: Tensor
    cache: Any
    mask: Tensor
    positions: Tensor


def until_end(tokens: Sequence[int], ends: Collection[int]) -> Tokens:
    """The tokens before the first one in `ends`."""
    return tuple(takewhile(lambda token: token not in ends, tokens))


@torch.no_grad()
def prefill(
    model: Callable[..., Any], prompts: Sequence[Tokens], pad_id: int, device: torch.device | str, samples: int = 1
) -> Prefilled:
    """Read the prompts, padded on the left. `samples`: rows per prompt, consecutive."""
    width = max(map(len, prompts))
    ids = torch.tensor([(pad_id,) * (width - len(prompt)) + tuple(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    logits, cache, positions = output.logits[:, -1], output.past_key_values, positions[:, -1:]
    if samples > 1:
        select_rows(cache, torch.arange(len(prompts), device=device).repeat_interleave(samples))
        logits, mask, positions = (each.repeat_interleave(samples, 0) for each in (logits, mask, positions))
    return Prefilled(logits, use_growing_layers(cache), mask, positions)


@torch.no_grad()
def decode_rows(
    model: Callable[..., Any],
    prefilled: Prefilled,
    limits: Sequence[int],
    ends: Collection[int],
    all_done: Callable[[bool], bool],
    choose: Callable[[Tensor, Tensor, int], Tensor],
) -> list[Tokens]:
    """The continuation of every row, up to its first token in `ends` or its limit. Consumes `prefilled`.

    `choose`: next tokens (rows,) from logits (rows, vocabulary), the numbers of the rows (rows,) and the step. Calls
    `all_done` after every forward pass, as `greedy.generate` does.
    """
    logits, cache, mask, positions = prefilled
    device = logits.device
    rows = torch.arange(len(limits), device=device)
    ended = torch.zeros(len(limits), dtype=torch.bool, device=device)
    last = torch.tensor(limits, device=device) - 1
    generated = torch.zeros((len(limits), max(limits)), dtype=torch.int64, device=device)
    closing = torch.tensor(sorted(ends), device=device)
    step = 0
    while True:  # also beyond this batch's limits, in step with other ranks
        chosen = choose(logits, rows, step)
        if step < generated.shape[1]:
            generated[rows, step] = chosen
        ended |= torch.isin(chosen, closing) | (last[rows] <= step)
        alive = len(rows) - int(ended.sum())
        if all_done(alive == 0):
            break
        if (len(rows) - alive) * _DROP_SHARE > len(rows) > 1:
            # A batch that has ended before the others' keeps one row, to stay in step with them.
            kept = (~ended).nonzero().squeeze(-1) if alive else torch.zeros(1, dtype=torch.long, device=device)
            select_rows(cache, kept)
            rows, chosen, ended, mask, positions = (each[kept] for each in (rows, chosen, ended, mask, positions))
        positions = positions + 1
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
        output = model(
            input_ids=chosen.unsqueeze(-1),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
        step += 1
    return [until_end(tokens[:limit], ends) for tokens, limit in zip(generated.tolist(), limits, strict=True)]


def decode_dynamic(
    model: Callable[..., Any],
    prompts: Sequence[Tokens],
    limits: Sequence[int],
    ends: Collection[int],
    pad_id: int,
    all_done: Callable[[bool], bool],
    device: torch.device | str,
) -> list[Tokens]:
    """As `generate`, with one limit per prompt."""
    prefilled = prefill(model, prompts, pad_id, device)
    return decode_rows(model, prefilled, limits, ends, all_done, lambda logits, rows, step: logits.argmax(-1))
