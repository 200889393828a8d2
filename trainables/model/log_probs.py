"""Log-probabilities of chosen tokens out of logits, in float32, without a second copy of the logits in float32.
(Logits in float64 stay in float64.)

Rows are taken in chunks that stay in a processor's cache; the backward pass computes the softmax anew, chunk by chunk.
Where layers are compiled (GPUs) so is this, in one piece: then logits are read once forward, read and their gradient
written once backward, instead of a dozen times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainables.model.compile import compiles, fused

_CHUNK = 1 << 19  # logits that are looked at together: 2 MiB in float32
_DEVICE_CHUNK = 1 << 26  # on GPUs, where only memory is at stake: 256 MiB


def exact(values: Tensor) -> Tensor:
    """The same values in float32 at least."""
    return values if values.dtype == torch.float64 else values.float()


def log_probs_of(logits: Tensor, targets: Tensor) -> Tensor:
    """(tokens, vocabulary) of any floating type, (tokens,) int64 -> (tokens,) log softmax(logits)[target], float32 at
    least.
    """
    found: Tensor = _LogProbs.apply(logits, targets)  # type: ignore[no-untyped-call]
    return found


def rows_at_once(logits: Tensor) -> int:
    """How many rows of such logits are looked at together."""
    return max(1, (_CHUNK if logits.device.type == "cpu" else _DEVICE_CHUNK) // logits.shape[-1])


def by_chunks(read: Callable[..., tuple[Tensor, ...]], logits: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
    """What `read` finds in consecutive pieces of logits (rows, vocabulary) and of tensors (rows, …)."""
    pieces = (torch.split(each, rows_at_once(logits)) for each in (logits, *beside))
    found = [read(*piece) for piece in zip(*pieces, strict=True)]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


class _LogProbs(torch.autograd.Function):
    """d log softmax(z)[t] / dz = onehot(t) - softmax(z)."""

    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor) -> Tensor:
        totals = (
            fused(_totals)(logits)
            if context.needs_input_grad[0] and _in_one_piece(logits)
            else by_chunks(lambda some: (_totals(some),), logits)[0]
        )
        context.save_for_backward(logits, targets, totals)
        return exact(logits.gather(1, targets[:, None])[:, 0]) - totals

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, targets, totals = context.saved_tensors
        (gradient,) = gradients
        if _in_one_piece(logits):
            return fused(_gradient)(logits, targets, totals, gradient), None
        found, step = torch.empty_like(logits), rows_at_once(logits)
        for start in range(0, len(logits), step):
            part = slice(start, start + step)
            weights = (exact(logits[part]) - totals[part, None]).exp_().mul_(-gradient[part, None])
            weights.scatter_add_(1, targets[part, None], gradient[part, None])
            found[part] = weights
        return found, None


def _in_one_piece(logits: Tensor) -> bool:
    """Only where there is a backward pass: what is computed once for all trials must not depend on earlier ones."""
    return len(logits) > 0 and compiles(logits.device)


def _totals(logits: Tensor) -> Tensor:
    """(tokens, vocabulary) -> (tokens,)."""
    return exact(logits).logsumexp(-1)


def _gradient(logits: Tensor, targets: Tensor, totals: Tensor, gradient: Tensor) -> Tensor:
    """(tokens, vocabulary), in the type of the logits."""
    hit = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    weights = (exact(logits) - totals[:, None]).exp()
    return (gradient[:, None] * (hit.to(weights.dtype) - weights)).to(logits.dtype)
