"""The optimizer step of weights in half precision that have masters in float32, without waiting for the device.

DeepSpeed's own (ZeRO stage 0) asks the device about each gradient in turn, whether it is finite, and reads and writes
all of them several times more. Here the norm is taken in one pass over the gradients, and what is done with it
(clipping, no step at all if a gradient is not finite) is left to the fused AdamW, which knows both as tensors.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

_TINY = 1e-6  # DeepSpeed's, added to the norm


def take_over(optimizer: Any) -> bool:
    """Give DeepSpeed's optimizer this step, if it is the one for half precision without sharding. Returns whether."""
    from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer

    if not isinstance(optimizer, FP16_UnfusedOptimizer):
        return False
    optimizer.step = partial(_step, optimizer)
    return True


def from_the_first_step(optimizer: Any) -> None:
    """Let a `torch.optim` optimizer that has taken no step count from 0.

    To have its state DeepSpeed lets it take a step without gradients, which Adam would count: its first real update
    would be a quarter smaller.
    """
    for state in optimizer.state.values():
        if "step" in state:
            state["step"].zero_()


@torch.no_grad()
def _step(wrapper: Any) -> None:
    """`wrapper.optimizer` is a fused AdamW over the masters. A step with infinite or NaN gradients changes nothing."""
    weights: list[Tensor] = list(chain.from_iterable(wrapper.fp16_groups))
    masters: list[Tensor] = list(chain.from_iterable(wrapper.fp32_groups))
    found = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found, 2, torch.float32)))
    wide = [torch.empty_like(master) for master in masters]
    torch._foreach_copy_(wide, found)
    for weight, master, gradient in zip(weights, masters, wide, strict=True):
        weight.grad, master.grad = None, gradient
    adam = wrapper.optimizer
    adam.grad_scale = ((length + _TINY) / (wrapper.clip_grad or torch.inf)).clamp(min=1)
    adam.found_inf = 1 - length.isfinite().float()
    adam.step()
    del adam.grad_scale, adam.found_inf
    for master in masters:
        master.grad = None
    torch._foreach_copy_(weights, masters)
    wrapper._global_grad_norm = length
