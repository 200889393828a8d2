"""Log-probabilities of chosen tokens, computed in float32 (float64 for float64 logits) without copying all logits.

Logits are read in chunks that fit in the CPU's cache; the backward pass recomputes the softmax chunk by chunk. Where
layers are compiled (on GPUs) this is compiled too, in one piece: one read of the logits in the forward pass, one read
of them and one write of their gradient in the backward pass, instead of a dozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainables.batching.scores import to_float32
from trainables.model.compile import compiles, fused

_CHUNK = 1 << 19  # logits per chunk: 2 MiB in float32
_DEVICE_CHUNK = 1 << 26  # on GPUs, where only memory matters: 256 MiB


def log_probs_of(logits: Tensor, targets: Tensor) -> Tensor:
    """(tokens, vocabulary) of any floating type, (tokens,) int64 -> (tokens,) log softmax(logits)[target]."""
    found: Tensor = _LogProbs.apply(logits, targets)  # type: ignore[no-untyped-call]
    return found


def rows_per_chunk(logits: Tensor) -> int:
    """How many rows of `logits` make a chunk."""
    return max(1, (_CHUNK if logits.device.type == "cpu" else _DEVICE_CHUNK) // logits.shape[-1])


def by_chunks(read: Callable[..., tuple[Tensor, ...]], logits: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """The results of `read` on chunks of logits (rows, vocabulary) and other tensors (rows, …), joined over rows."""
    chunks = (torch.split(each, rows_per_chunk(logits)) for each in (logits, *others))
    found = [read(*chunk) for chunk in zip(*chunks, strict=True)]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


class _LogProbs(torch.autograd.Function):
    """d log softmax(z)[t] / dz = onehot(t) - softmax(z)."""

    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor) -> Tensor:
        totals = (
            fused(_totals)(logits)
            if context.needs_input_grad[0] and _is_compiled(logits)
            else by_chunks(lambda chunk: (_totals(chunk),), logits)[0]
        )
        context.save_for_backward(logits, targets, totals)
        return to_float32(logits.gather(1, targets[:, None])[:, 0]) - totals

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, targets, totals = context.saved_tensors
        (gradient,) = gradients
        if _is_compiled(logits):
            return fused(_gradient)(logits, targets, totals, gradient), None
        found, step = torch.empty_like(logits), rows_per_chunk(logits)
        for start in range(0, len(logits), step):
            part = slice(start, start + step)
            weights = (to_float32(logits[part]) - totals[part, None]).exp_().mul_(-gradient[part, None])
            weights.scatter_add_(1, targets[part, None], gradient[part, None])
            found[part] = weights
        return found, None


def _is_compiled(logits: Tensor) -> bool:
    """For passes with gradients only: results shared by all trials must not depend on whether earlier ones compiled."""
    return len(logits) > 0 and compiles(logits.device)


def _totals(logits: Tensor) -> Tensor:
    """(tokens, vocabulary) -> (tokens,) log of the sum of exponentials."""
    return to_float32(logits).logsumexp(-1)


def _gradient(logits: Tensor, targets: Tensor, totals: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the logits, (tokens, vocabulary), in their dtype."""
    hit = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    weights = (to_float32(logits) - totals[:, None]).exp()
    return (gradient[:, None] * (hit.to(weights.dtype) - weights)).to(logits.dtype)
