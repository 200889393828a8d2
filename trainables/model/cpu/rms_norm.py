"""Root mean square norm (Zhang & Sennrich 2019, arXiv 1910.07467): y = weight * x / sqrt(mean(x^2) + eps)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables.batching.scores import to_float32


def rms_norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """(…, width) and (width,) -> (…, width), in at least float32. Keeps only `states` for the backward pass."""
    if not torch.is_grad_enabled() and states.dtype == torch.float32:
        return torch.rms_norm(states, weight.shape, weight, eps)  # its backward pass is not fused
    found: Tensor = _RmsNorm.apply(states, weight, eps)  # type: ignore[no-untyped-call]
    return found


class _RmsNorm(torch.autograd.Function):
    """With n = x / rms and g = dy * weight: dx = (g - n mean(g n)) / rms, dweight = sum(dy n)."""

    @staticmethod
    def forward(context: Any, states: Tensor, weight: Tensor, eps: float) -> Tensor:
        exact = to_float32(states)
        length = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
        inverse = length.square_().div_(states.shape[-1]).add_(eps).rsqrt_()
        context.save_for_backward(states, weight, inverse)
        normal: Tensor = exact * inverse
        return normal.to(states.dtype).mul_(weight)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        states, weight, inverse = context.saved_tensors
        width = states.shape[-1]
        inverse = inverse.view(-1, 1)
        exact, factors = to_float32(gradients[0].reshape(-1, width)), to_float32(weight)
        normal = to_float32(states.reshape(-1, width)) * inverse
        product = exact * normal
        mean = torch.mv(product, factors).div_(-width)
        of_states = (exact * factors).addcmul_(normal, mean[:, None]).mul_(inverse)
        return of_states.view(states.shape).to(states.dtype), product.sum(0).to(weight.dtype), None
