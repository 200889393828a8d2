"""The gate of SwiGLU (Shazeer 2020, arXiv 2002.05202): silu(gate) * up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """Two tensors of one shape -> the same shape. Keeps only these two for the backward pass."""
    if not torch.is_grad_enabled():
        return silu(gate).mul_(up)
    found: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
    return found


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, gate: Tensor, up: Tensor) -> Tensor:
        context.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = context.saved_tensors
        (gradient,) = gradients
        return torch.ops.aten.silu_backward(gradient * up, gate), silu(gate).mul_(gradient)
