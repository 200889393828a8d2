"""Log-probabilities of chosen tokens out of logits, in float32, without a second copy of the logits in float32.

Rows are taken in chunks that stay in a processor's cache; the backward pass computes the softmax anew, chunk by chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK = 1 << 19  # logits that are looked at together: 2 MiB in float32
_DEVICE_CHUNK = 1 << 26  # on GPUs, where only memory is at stake: 256 MiB


def log_probs_of(logits: Tensor, targets: Tensor) -> Tensor:
    """(tokens, vocabulary) of any floating type, (tokens,) int64 -> (tokens,) float32 log softmax(logits)[target]."""
    found: Tensor = _LogProbs.apply(logits, targets)  # type: ignore[no-untyped-call]
    return found


def _chunks(logits: Tensor) -> range:
    chunk = _CHUNK if logits.device.type == "cpu" else _DEVICE_CHUNK
    return range(0, len(logits), max(1, chunk // logits.shape[1]))


class _LogProbs(torch.autograd.Function):
    """d log softmax(z)[t] / dz = onehot(t) - softmax(z)."""

    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor) -> Tensor:
        chunks = _chunks(logits)
        totals = torch.empty(len(logits), device=logits.device)
        for start in chunks:
            part = slice(start, start + chunks.step)
            torch.logsumexp(logits[part].float(), -1, out=totals[part])
        context.save_for_backward(logits, targets, totals)
        return logits.gather(1, targets[:, None])[:, 0].float() - totals

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, targets, totals = context.saved_tensors
        (gradient,) = gradients
        found = torch.empty_like(logits)
        chunks = _chunks(logits)
        for start in chunks:
            part = slice(start, start + chunks.step)
            weights = (logits[part].float() - totals[part, None]).exp_().mul_(-gradient[part, None])
            weights.scatter_add_(1, targets[part, None], gradient[part, None])
            found[part] = weights
        return found, None
