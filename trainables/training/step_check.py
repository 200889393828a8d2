"""Compares an optimizer step with PyTorch's plain AdamW, on weights of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.runtime.fast_paths import Outcome

NUMBERS = 4096
"""How many numbers of each weight a comparison reads."""
_SEED = 20_232
_SIZES = (1.0, 1e-3, float("inf"), 50.0)
"""Of the gradients of each step: clipped, not clipped, infinite (changes nothing), clipped."""
_TINY = 1e-6  # DeepSpeed's, added to the norm
_RATE = 1e-2


class Stepped(NamedTuple):
    """`step`: updates the weights from their `grad`. `read`: the weights as exactly as the optimizer keeps them."""

    step: Callable[[], Any]
    read: Callable[[], Sequence[Tensor]]


def samples(parameters: Sequence[Tensor], numbers: int = NUMBERS) -> list[Tensor]:
    """Copies of the first `numbers` of the first matrix and of the first vector, flat."""
    found = {each.ndim: each for each in reversed(list(parameters)) if each.numel()}
    return [each.detach().flatten()[:numbers].clone() for each in found.values()]


def stepped(weights: Sequence[Tensor], make: Callable[[list[Tensor], float], Stepped]) -> Outcome:
    """The change of copies of the weights in each of four steps, by the optimizer that `make` makes of them.

    `make`: from the weights and the learning rate.
    """
    mine = [weight.clone().requires_grad_() for weight in weights]
    optimizer = make(mine, _RATE)
    changes, before = list[Tensor](), [each.detach().clone() for each in optimizer.read()]
    for step, size in enumerate(_SIZES):
        for weight in mine:
            weight.grad = (_random(len(weight), step) * size).to(weight)
        optimizer.step()
        after = [each.detach().clone() for each in optimizer.read()]
        changes += [new.float() - old.float() for new, old in zip(after, before, strict=True)]
        before = after
    return Outcome(changes)


@lru_cache(maxsize=2 * len(_SIZES))
def _random(count: int, step: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(_SEED + step))


def plain_adamw(settings: Mapping[str, Any], clip: float) -> Callable[[list[Tensor], float], Stepped]:
    """AdamW over float32 masters, one operation after the other, as PyTorch writes it.

    `settings`: of `torch.optim.AdamW`. `clip`: largest norm of the gradient; 0: none.
    """

    def make(weights: list[Tensor], rate: float) -> Stepped:
        masters = [weight.detach().float().requires_grad_() for weight in weights]
        adam = torch.optim.AdamW(masters, lr=rate, foreach=False, fused=False, **settings)

        def step() -> None:
            gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
            norm = torch.linalg.vector_norm(torch.cat([each.float() for each in gradients]))
            if not norm.isfinite():
                return
            scale = ((norm + _TINY) / (clip or torch.inf)).clamp(min=1)
            for master, gradient in zip(masters, gradients, strict=True):
                master.grad = gradient.float() / scale
            adam.step()

        return Stepped(step, lambda: masters)

    return make
