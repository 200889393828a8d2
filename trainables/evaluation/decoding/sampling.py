"""Sampled answers of one batch of prompts with a key-value cache, several a prompt. Knows token ids, no text.

Every draw is one uniform number that the caller brings, put through the inverse of the cumulative distribution: what is
sampled for a prompt does not depend on the batch, the rank or the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.evaluation.decoding.dynamic import before, pad_left
from trainables.evaluation.decoding.growing_cache import make_growing

_DROP_SHARE = 8  # ended rows are dropped once they are more than 1 / 8 of the batch: dropping copies the cache


def uniforms(seed: int, row: int, samples: int, tokens: int) -> NDArray[np.float64]:
    """(samples, tokens) numbers in [0, 1): a stream of their own for every (seed, row, sample)."""
    streams = (np.random.SeedSequence([seed, row, sample]) for sample in range(samples))
    return np.stack([np.random.Generator(np.random.PCG64(stream)).random(tokens) for stream in streams])


def draw(logits: Tensor, temperature: float, uniform: Tensor) -> Tensor:
    """(rows,) token ids from logits (rows, vocabulary) and uniform numbers (rows,).

    Softmax in float32, its sums in float64. As `temperature` goes to 0 this is the argmax.
    """
    logits = logits.float()
    # The largest logit is taken off first: divided by a small temperature, both it and the rest would overflow.
    shares = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1).double()
    mass = shares.cumsum(-1)
    wanted = uniform.double().unsqueeze(-1) * mass[:, -1:]
    return torch.searchsorted(mass, wanted, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


@torch.no_grad()
def sample(
    model: Callable[..., Any],
    prompts: Sequence[tuple[int, ...]],
    draws: NDArray[np.float64],
    temperature: float,
    end: int,
    all_done: Callable[[bool], bool] = bool,
    device: torch.device | str = "cpu",
) -> list[list[tuple[int, ...]]]:
    """For every prompt its sampled continuations, without the end of sequence.

    `draws`: (prompts, samples, tokens), a number a token; its shape says how many. `end` is padding too. `all_done` is
    asked after every forward pass whether to stop, as `evaluation.generate` does. The prompt is read once for all.
    """
    samples, tokens = draws.shape[1:]
    uniform = torch.from_numpy(draws).to(device).flatten(0, 1)
    written = torch.full(uniform.shape, end, dtype=torch.long, device=device)
    rows = torch.arange(len(uniform), device=device)
    ended = torch.zeros(len(uniform), dtype=torch.bool, device=device)
    logits, cache, mask, positions = _read(model, prompts, samples, end, device)
    for step in range(tokens):
        chosen = draw(logits, temperature, uniform[rows, step])
        written[rows, step] = chosen
        ended |= chosen == end
        alive = len(rows) - int(ended.sum())
        if all_done(alive == 0) or step == tokens - 1:
            break
        if (len(rows) - alive) * _DROP_SHARE > len(rows) > 1:
            # A batch that has ended before the others' keeps one row, to go on in step with them.
            kept = (~ended).nonzero().squeeze(-1) if alive else torch.zeros(1, dtype=torch.long, device=device)
            cache.batch_select_indices(kept)
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
    found = [before(ids, (end,)) for ids in written.tolist()]
    return [found[i : i + samples] for i in range(0, len(found), samples)]


def _read(
    model: Callable[..., Any], prompts: Sequence[tuple[int, ...]], samples: int, end: int, device: torch.device | str
) -> tuple[Tensor, Any, Tensor, Tensor]:
    """Last logits, cache, attention mask and last positions after the prompts, each prompt `samples` times in a row."""
    ids, mask = pad_left(prompts, end, device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    cache.batch_repeat_interleave(samples)
    repeated = (each.repeat_interleave(samples, 0) for each in (output.logits[:, -1], mask, positions[:, -1:]))
    logits, mask, positions = repeated
    return logits, make_growing(cache), mask, positions
