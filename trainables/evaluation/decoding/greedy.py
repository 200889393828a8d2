"""Greedy decoding of one batch of prompts with a key-value cache. Knows token ids, no text and no metric.

Lean loops on the model's own forward: no logits processors, no stopping objects. In float32 they give the tokens of
Hugging Face's `generate(do_sample=False)`. Which loop: on a CPU the one with a growing cache, whose rows leave as they
end; on a GPU the one with fixed sizes, whose steps are replayed, where the model's caches allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from trainables.evaluation.decoding.cuda_graphs import cuda_rooms
from trainables.evaluation.decoding.dynamic import decode_growing
from trainables.evaluation.decoding.static import decode_fixed, takes_fixed


def generate(
    model: Callable[..., Any],
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: int | Sequence[int],
    ends: Collection[int],
    pad_id: int,
    all_done: Callable[[bool], bool] = bool,
    device: torch.device | str = "cpu",
) -> list[tuple[int, ...]]:
    """The continuation of every prompt, up to the first of the tokens `ends`. `max_new_tokens`: of all, or one
    for each.

    `all_done` is asked now and then whether to stop, with True if this batch has ended: by default it answers the same;
    across ranks that must stay in lockstep it answers True only when all have. Ranks that decode equal models on equal
    devices ask after equally many forward passes, and a batch that has ended goes on until all have.
    """
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    if torch.device(device).type == "cuda" and takes_fixed(model):
        rooms = cuda_rooms(model, device)
        found = decode_fixed(model, prompts, limits, ends, all_done, device, rooms)
        if found is not None:
            return found
    return decode_growing(model, prompts, limits, ends, pad_id, all_done, device)
