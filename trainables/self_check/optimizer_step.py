"""Compares an optimizer step for bfloat16 weights with PyTorch's plain AdamW, on weights of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.model.memory import BLOCK, Recipe
from trainables.runtime.fast_paths import TOLERANCE, Outcome, Ways

NUMBERS = 1 << 14
"""How many numbers of each weight a comparison reads."""
_SEED = 20_232
_SIZES = (1.0, 1e-3, float("inf"), 50.0)
"""Size of the gradients in each step: clipped, not clipped, infinite (changes nothing), clipped."""
_TINY = 1e-6  # DeepSpeed's, added to the norm
_RATE = 1e-2
_TOLERANCE_8_BITS, _TOLERANCE_MEANS = 7e-2, 2e-2
"""Allowed where moments have 8 bits (measured: 0.035, in the step after a much larger one), and for mean movements with
stochastic rounding (measured: 0.004).
"""


class Stepped(NamedTuple):
    """`step`: updates the weights from their `grad`. `read`: the weights as exactly as the optimizer keeps them."""

    step: Callable[[], Any]
    read: Callable[[], Sequence[Tensor]]


Make = Callable[[list[Tensor], float], Stepped]
"""From the weights and the learning rate."""


def tolerance_of(recipe: Recipe) -> float:
    """The largest `Difference` that counts as equal under the recipe."""
    if recipe.masters == "none":
        return _TOLERANCE_MEANS
    return _TOLERANCE_8_BITS if recipe.small_moments else TOLERANCE[torch.float32]


def both_ways(
    make: Make,
    parameters: Sequence[Tensor],
    recipe: Recipe,
    settings: Mapping[str, Any],
    clip: float,
    device: torch.device | str,
    numbers: int = NUMBERS,
) -> Ways:
    """The steps of the optimizer that `make` makes, and of plain AdamW, on samples of the parameters.

    Without masters each weight is off by its rounding, so the mean movements are compared. Runs nothing yet.
    """
    weights, means = samples(parameters, device, numbers), recipe.masters == "none"
    plain = plain_adamw(settings, clip)
    return lambda: stepped(weights, make, means), lambda: stepped(weights, plain, means)


def samples(parameters: Sequence[Tensor], device: torch.device | str, numbers: int = NUMBERS) -> list[Tensor]:
    """bfloat16 copies of the first `numbers` of the first matrix and of the first vector, flat, repeated if there are
    fewer. One more of a parameter whose size is no multiple of BLOCK, as other code updates it. In [-1, 1], where
    rounding is small beside a step.
    """
    found = {each.ndim: each.detach().flatten() for each in reversed(list(parameters)) if each.numel()}

    def repeated(values: Tensor) -> Tensor:
        count = numbers + (len(values) % BLOCK != 0)
        return values[:count].repeat(-(-count // len(values)))[:count]

    return [repeated(each).to(device, torch.bfloat16).clamp(-1, 1) for each in found.values()]


def stepped(weights: Sequence[Tensor], make: Make, means: bool = False) -> Outcome:
    """The change of copies of the weights in each of four steps.

    `means`: of all weights together instead, (2,) per step: the mean change where the gradient is positive, and where
    it is not.
    """
    mine = [weight.clone().requires_grad_() for weight in weights]
    optimizer = make(mine, _RATE)
    changes, before = list[Tensor](), [each.detach().clone() for each in optimizer.read()]
    for step, size in enumerate(_SIZES):
        gradients = [_random(len(weight), step // 2) for weight in mine]  # alike in two steps, which differ in size
        for weight, gradient in zip(mine, gradients, strict=True):
            weight.grad = (gradient * size).to(weight)
        optimizer.step()
        after = [each.detach().clone() for each in optimizer.read()]
        found = [new.float() - old.float() for new, old in zip(after, before, strict=True)]
        if means:
            together, positive = torch.cat(found).cpu(), torch.cat(gradients) > 0
            found = [torch.stack([together[positive].mean(), together[~positive].mean()])]
        changes, before = [*changes, *found], after
    return Outcome(changes)


@lru_cache(maxsize=2 * len(_SIZES))
def _random(count: int, step: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(_SEED + step))


def plain_adamw(settings: Mapping[str, Any], clip: float) -> Make:
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
