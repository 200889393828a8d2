"""Greedy decoding of one batch of prompts with a key-value cache. Knows token ids, no text and no metric.

A lean loop on the model's own forward: no logits processors, no stopping objects, and rows that have ended leave the
batch. In float32 it gives the tokens of Hugging Face's `generate(do_sample=False)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainables.evaluation.cache import make_growing

_DROP_SHARE = 8  # ended rows are dropped once they are more than 1 / 8 of the batch: dropping copies the cache


def _pad_left(prompts: Sequence[tuple[int, ...]], pad_id: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """(ids, attention mask), each (rows, tokens) int64."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([(pad_id,) * (width - len(prompt)) + tuple(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids.to(device), mask.to(device)


def _before(tokens: list[int], end: int) -> tuple[int, ...]:
    return tuple(tokens[: tokens.index(end)] if end in tokens else tokens)


@torch.no_grad()
def generate(
    model: Callable[..., Any],
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: int | Sequence[int],
    eos_id: int,
    pad_id: int,
    all_done: Callable[[bool], bool] = bool,
    device: torch.device | str = "cpu",
) -> list[tuple[int, ...]]:
    """The continuation of every prompt, without the end of sequence. `max_new_tokens`: of all, or one for each.

    `all_done` is asked after every forward pass whether to stop, with True if this batch has ended: by default it
    answers the same; across ranks that must stay in lockstep it answers True only when all have.
    """
    ids, mask = _pad_left(prompts, pad_id, device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    rows = torch.arange(len(prompts), device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    last = torch.tensor(limits, device=device) - 1
    written = torch.full((len(prompts), max(limits)), eos_id, device=device)
    cache: Any = None
    for step in range(max(limits)):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = make_growing(output.past_key_values) if step == 0 else cache
        chosen = output.logits[:, -1].argmax(-1)
        written[rows, step] = chosen
        ended |= (chosen == eos_id) | (last[rows] <= step)
        alive = len(rows) - int(ended.sum())
        if all_done(alive == 0):
            break
        if (len(rows) - alive) * _DROP_SHARE > len(rows) > 1:
            # A batch that has ended before the others' keeps one row, to go on in step with them.
            kept = (~ended).nonzero().squeeze(-1) if alive else torch.zeros(1, dtype=torch.long, device=device)
            cache.batch_select_indices(kept)
            rows, chosen, ended, mask, positions = (x[kept] for x in (rows, chosen, ended, mask, positions))
        ids = chosen.unsqueeze(-1)
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
    return [_before(tokens[:limit], eos_id) for tokens, limit in zip(written.tolist(), limits, strict=True)]
