"""Greedy decoding with a cache that grows, for any model: rows that have ended leave the batch.

The host asks after every token which rows have ended: on a CPU that costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from trainables.evaluation.decoding.growing_cache import make_growing

_DROP_SHARE = 8  # ended rows are dropped once they are more than 1 / 8 of the batch: dropping copies the cache


def pad_left(prompts: Sequence[tuple[int, ...]], pad_id: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """(ids, attention mask), each (rows, tokens) int64."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([(pad_id,) * (width - len(prompt)) + tuple(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids.to(device), mask.to(device)


def before(tokens: Sequence[int], ends: Collection[int]) -> tuple[int, ...]:
    """Up to the first token that is one of `ends`."""
    return tuple(takewhile(lambda token: token not in ends, tokens))


@torch.no_grad()
def decode_growing(
    model: Callable[..., Any],
    prompts: Sequence[tuple[int, ...]],
    limits: Sequence[int],
    ends: Collection[int],
    pad_id: int,
    all_done: Callable[[bool], bool],
    device: torch.device | str,
) -> list[tuple[int, ...]]:
    """As `generate`, with a limit for each prompt. `all_done` is asked after every forward pass."""
    ids, mask = pad_left(prompts, pad_id, device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    rows = torch.arange(len(prompts), device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    last = torch.tensor(limits, device=device) - 1
    longest = max(limits)
    written = torch.zeros((len(prompts), longest), dtype=torch.int64, device=device)
    closing = torch.tensor(sorted(ends), device=device)
    cache: Any = None
    step = 0
    while True:  # other ranks may have longer limits: a batch at its own goes on in step with them
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
        if step < longest:
            written[rows, step] = chosen
        ended |= torch.isin(chosen, closing) | (last[rows] <= step)
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
        step += 1
    return [before(tokens[:limit], ends) for tokens, limit in zip(written.tolist(), limits, strict=True)]
