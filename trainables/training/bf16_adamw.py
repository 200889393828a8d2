"""An optimizer step for half-precision weights with float32 masters that does not wait for the device.

DeepSpeed's own step (ZeRO stage 0) asks the device for each gradient whether it is finite, and reads and writes all of
them several times more. Here the norm takes one pass over the gradients, and the device itself decides on clipping and
on skipping the step if a gradient is not finite. The update is the fused AdamW, which needs float32 gradients; or, if
layers are compiled, a compiled update that reads and writes each number once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from trainables.model.compile import compiles, fused
from trainables.runtime.fast_paths import TOLERANCE, Ways, prove
from trainables.runtime.ranks import Group
from trainables.training.step_check import NUMBERS, Stepped, plain_adamw, samples, stepped

_TINY = 1e-6  # DeepSpeed's, added to the norm


def install_fused_step(optimizer: Any, group: Group) -> bool:
    """Replace the step of DeepSpeed's optimizer if it is the unsharded half-precision one. Returns whether it did.

    It stays as it is if the step here gives anything else than plain AdamW.
    """
    from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer

    if not isinstance(optimizer, FP16_UnfusedOptimizer):
        return False
    ways, device = step_ways(optimizer.fp16_groups, optimizer.param_groups[0], optimizer.clip_grad), group.device
    kind = str(device), compiles(torch.device(device))
    if not prove("own optimizer step", kind, ways, TOLERANCE[torch.float32], group):
        return False
    optimizer.step = partial(_step, optimizer)
    return True


def step_ways(
    groups: Sequence[Sequence[Tensor]], settings: Mapping[str, Any], clip: float, numbers: int = NUMBERS
) -> Ways:
    """The step of this module and plain AdamW, both on samples of these half-precision weights. Runs nothing yet."""
    weights = samples([weight for group in groups for weight in group], numbers)
    known = {name: settings[name] for name in ("betas", "eps", "weight_decay")}

    def make(mine: list[Tensor], rate: float) -> Stepped:
        masters = [weight.detach().float().requires_grad_() for weight in mine]
        adam = torch.optim.AdamW(masters, lr=rate, fused=True, **known)
        for master in masters:  # the state that DeepSpeed creates
            master.grad = torch.zeros_like(master)
        adam.param_groups[0]["lr"] = 0.0
        adam.step()
        adam.param_groups[0]["lr"] = rate
        reset_step_count(adam)
        wrapper = SimpleNamespace(fp16_groups=[mine], fp32_groups=[masters], optimizer=adam, clip_grad=clip)
        return Stepped(partial(_step, wrapper), lambda: masters)

    return lambda: stepped(weights, make), lambda: stepped(weights, plain_adamw(known, clip))


def reset_step_count(optimizer: Any) -> None:
    """Set the step count of a `torch.optim` optimizer back to 0.

    DeepSpeed creates the optimizer's state by a step without gradients. Adam counts it, which would make its first real
    update a quarter smaller.
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
    scale = ((length + _TINY) / (wrapper.clip_grad or torch.inf)).clamp(min=1)
    update = _by_compiled_code if compiles(length.device) else _by_fused_adamw
    update(wrapper.optimizer, weights, masters, found, scale, length.isfinite())
    for weight in weights:
        weight.grad = None
    wrapper._global_grad_norm = length


def _by_fused_adamw(
    adam: Any, weights: list[Tensor], masters: list[Tensor], gradients: list[Tensor], scale: Tensor, finite: Tensor
) -> None:
    wide = [torch.empty_like(master) for master in masters]
    torch._foreach_copy_(wide, gradients)
    for master, gradient in zip(masters, wide, strict=True):
        master.grad = gradient
    adam.grad_scale, adam.found_inf = scale, 1 - finite.float()
    adam.step()
    del adam.grad_scale, adam.found_inf
    for master in masters:
        master.grad = None
    torch._foreach_copy_(weights, masters)


def _by_compiled_code(
    adam: Any, weights: list[Tensor], masters: list[Tensor], gradients: list[Tensor], scale: Tensor, finite: Tensor
) -> None:
    """Requires groups that differ only in their decay, masters in the groups' order, and an existing state."""
    group, *_ = adam.param_groups
    (beta1, beta2), rate = group["betas"], group["lr"]
    decays = chain.from_iterable([each["weight_decay"]] * len(each["params"]) for each in adam.param_groups)
    states = [adam.state[master] for master in masters]
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, finite.to(steps[0].dtype))
    taken = steps[0].double().clamp(min=1)  # 0: no finite step yet, and this one changes nothing
    known = [1 - beta1, 1 - beta2, group["eps"]]
    size, root = rate / (1 - beta1**taken), (1 - beta2**taken).rsqrt()
    of_device = torch.stack([scale.double(), finite.double(), size, root]).float().unbind()
    numbers = [torch.full_like(scale, number) for number in known]
    kept = {each["weight_decay"]: torch.full_like(scale, 1 - rate * each["weight_decay"]) for each in adam.param_groups}
    for weight, master, gradient, state, decay in zip(weights, masters, gradients, states, decays, strict=True):
        whole = (weight, master, gradient, state["exp_avg"], state["exp_avg_sq"])
        fused(_update)(*(each.detach().view(-1) for each in whole), *of_device, kept[decay], *numbers)


def _update(  # noqa: PLR0913, PLR0917
    weight: Tensor,
    master: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    scale: Tensor,
    finite: Tensor,
    size: Tensor,
    root: Tensor,
    decay: Tensor,
    rest1: Tensor,
    rest2: Tensor,
    eps: Tensor,
) -> None:
    """AdamW (arXiv 1711.05101, algorithm 2) on (numbers,) each, in place; nothing changes unless `finite`.

    `rest1`, `rest2`: 1 - beta; `size`: rate / (1 - beta1^t); `root`: 1 / sqrt(1 - beta2^t); `decay`: 1 - rate * decay.
    """
    taken = finite > 0
    exact = gradient.float() / scale
    new_mean = mean + rest1 * (exact - mean)
    new_square = square + rest2 * (exact * exact - square)
    new = master * decay - size * new_mean / (new_square.sqrt() * root + eps)
    kept = torch.where(taken, new, master)
    mean.copy_(torch.where(taken, new_mean, mean))
    square.copy_(torch.where(taken, new_square, square))
    master.copy_(kept)
    weight.copy_(kept)
