"""Greedy decoding of one batch of prompts with a key-value cache. Works on token ids.

Plain loops over the model's forward pass, which in float32 give the tokens of Hugging Face's
`generate(do_sample=False)`. On a GPU the cache has fixed sizes, if the model allows it, and steps are replayed as CUDA
graphs; else the cache grows and rows leave as they end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from trainables.evaluation.decoding.cuda_graphs import cuda_pool
from trainables.evaluation.decoding.dynamic import decode_dynamic
from trainables.evaluation.decoding.static import decode_static, supports_static_cache


def generate(
    model: Callable[..., Any],
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: int | Sequence[int],
    ends: Collection[int],
    pad_id: int,
    all_done: Callable[[bool], bool] = bool,
    device: torch.device | str = "cpu",
) -> list[tuple[int, ...]]:
    """The continuation of every prompt, up to the first token in `ends`. `max_new_tokens`: for all prompts, or each.

    `all_done(ended)` is called from time to time with whether this batch has ended, and returns whether to stop. Ranks
    in lockstep pass a function that is true only when all batches have ended: with equal models and devices they call
    it after the same number of forward passes, and a batch that has ended keeps running until all have.
    """
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    if torch.device(device).type == "cuda" and supports_static_cache(model):
        found = decode_static(model, prompts, limits, ends, all_done, device, cuda_pool(model, device))
        if found is not None:
            return found
    return decode_dynamic(model, prompts, limits, ends, pad_id, all_done, device)
