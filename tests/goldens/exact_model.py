"""A Llama that computes in float64 from end to end, to 1e-15, under any transformers from 4.45 on.

transformers takes norms and rotary angles through float32, whose last digits differ between machines. Noise is drawn by
numpy, not by torch, whose generators change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class ExactRMSNorm(nn.Module):
    """RMSNorm in the type of its input."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.variance_epsilon = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        mean = hidden_states.square().mean(-1, keepdim=True)
        return self.weight * (hidden_states * torch.rsqrt(mean + self.variance_epsilon))


class ExactAngles(nn.Module):
    """Cosine and sine of the rotary angles, in float64."""

    def __init__(self, size: int, base: float = 10000.0) -> None:
        super().__init__()
        steps = torch.arange(0, size, 2, dtype=torch.float64) / size
        self.frequencies = base**-steps

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        half = position_ids[..., None].double() * self.frequencies.to(x.device)
        angles = torch.cat((half, half), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def exact(model: Any) -> Any:
    """The same `LlamaForCausalLM` in float64, its norms and rotary angles replaced; parameters keep their names."""
    model.double()
    layers = [model.model, *model.model.layers]
    for layer in layers:
        for name in ("norm", "input_layernorm", "post_attention_layernorm"):
            if isinstance(getattr(layer, name, None), nn.Module):
                setattr(layer, name, ExactRMSNorm(getattr(layer, name).weight, model.config.rms_norm_eps))
    model.model.rotary_emb = ExactAngles(model.config.hidden_size // model.config.num_attention_heads)
    return model.eval()


@torch.no_grad()
def add_noise(model: Any, seed: int, share: float) -> Any:
    """Every matrix with uniform noise, `share` of its own root mean square; norms stay as they are."""
    parameters = [each for _, each in sorted(model.named_parameters()) if each.dim() > 1]
    noise = uniforms(seed, sum(each.numel() for each in parameters))
    start = 0
    for each in parameters:
        part = torch.from_numpy(noise[start : start + each.numel()]).view_as(each)
        each.add_(part * (share * each.square().mean().sqrt()))
        start += each.numel()
    return model


def uniforms(seed: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`count` numbers in [-sqrt 3, sqrt 3), whose variance is 1. The bits of PCG64 are promised to stay."""
    raw = np.random.PCG64(seed).random_raw(count)
    return np.asarray(((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0) * np.sqrt(3.0))


@contextmanager
def doubles() -> Iterator[None]:
    """For code that rounds to float32: meanwhile float64 stays float64, and plain numbers become float64."""
    tensors: Any = torch.Tensor
    usual, casts = torch.get_default_dtype(), (tensors.float, tensors.to)

    def as_float(self: Tensor, *arguments: Any, **named: Any) -> Any:
        return self if self.dtype == torch.float64 else casts[0](self, *arguments, **named)

    def to(self: Tensor, *arguments: Any, **named: Any) -> Any:
        rounds = self.dtype == torch.float64 and torch.float32 in (*arguments, *named.values())
        return self if rounds else casts[1](self, *arguments, **named)

    tensors.float, tensors.to = as_float, to
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        tensors.float, tensors.to = casts
        torch.set_default_dtype(usual)
