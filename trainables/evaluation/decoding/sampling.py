"""Samples several answers per prompt for one batch, with a key-value cache. Works on token ids.

Every token is drawn by inverse transform sampling from a uniform number that the caller supplies, so the samples of a
prompt do not depend on the batch, the rank or the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.evaluation.decoding.dynamic import decode_rows, prefill


def uniforms(seed: int, row: int, samples: int, tokens: int) -> NDArray[np.float64]:
    """(samples, tokens) float64 in [0, 1), an independent stream for every (seed, row, sample)."""
    streams = (np.random.SeedSequence([seed, row, sample]) for sample in range(samples))
    return np.stack([np.random.Generator(np.random.PCG64(stream)).random(tokens) for stream in streams])


def draw(logits: Tensor, temperature: float, uniform: Tensor) -> Tensor:
    """(rows,) token ids from logits (rows, vocabulary) and uniform numbers (rows,); the argmax as `temperature` -> 0.

    Softmax in float32, its cumulative sums in float64.
    """
    logits = logits.float()
    # Subtract the largest logit first: logits over a small temperature would overflow.
    shares = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1).double()
    mass = shares.cumsum(-1)
    wanted = uniform.double().unsqueeze(-1) * mass[:, -1:]
    return torch.searchsorted(mass, wanted, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


def sample(
    model: Callable[..., Any],
    prompts: Sequence[tuple[int, ...]],
    draws: NDArray[np.float64],
    temperature: float,
    end: int,
    all_done: Callable[[bool], bool] = bool,
    device: torch.device | str = "cpu",
) -> list[list[tuple[int, ...]]]:
    """The sampled continuations of every prompt, without the end of sequence.

    `draws`: (prompts, samples, tokens) uniform numbers, one per token to sample. `end` is also the padding. Calls
    `all_done` after every forward pass, as `greedy.generate` does. Each prompt is read once for all of its samples.
    """
    samples, tokens = draws.shape[1:]
    uniform = torch.from_numpy(draws).to(device).flatten(0, 1)

    def choose(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        return draw(logits, temperature, uniform[rows, min(step, tokens - 1)])

    prefilled = prefill(model, prompts, end, device, samples)
    found = decode_rows(model, prefilled, [tokens] * len(uniform), (end,), all_done, choose)
    return [found[i : i + samples] for i in range(0, len(found), samples)]
