"""Where a trial's weights come from, and how an engine gets its own copy of them.

From one trial to the next in a worker the weights are the same. They are kept where copying them is fastest: on the
device itself, or in page-locked memory of the host. Which of the two is decided by `gpu_share`; knows no losses.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Take = Callable[[Tensor], Tensor]


def cast_parameters(model: Any, dtype: torch.dtype) -> Any:
    """In place. As DeepSpeed does it: buffers (rotary frequencies) stay exact."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def pin_memory(model: Any) -> Any:
    """In place, where there is a device to copy to; elsewhere nothing would be faster for it."""
    if torch.cuda.is_available():
        for parameter in model.parameters():
            parameter.data = parameter.data.pin_memory()
    return model


def copy_to_device(module: Any, weights: Any, device: torch.device | str) -> Any:
    """A copy of `module` on the device with the weights of `weights`, tensor by tensor; both stay as they are.

    `weights` is the same model, perhaps in another precision and elsewhere. Tied weights stay tied. Copies are queued
    on the current stream, so what is computed next sees them.
    """

    def fresh(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True, copy=True)

    return _copied(module, weights, fresh, fresh)


def share_weights(module: Any, weights: Any, dtype: torch.dtype, device: torch.device | str) -> Any:
    """A copy of `module` whose parameters are those of `weights` themselves where these have the dtype.

    For who only reads them: ZeRO-3 moves one parameter after the other to the device, keeps its shard and lets go of
    the rest, so that no worker ever has to have room for all of them. Buffers, which it does not shard, are copied.
    """
    return _copied(module, weights, lambda tensor: tensor.to(dtype), lambda tensor: tensor.to(device, copy=True))


def _copied(module: Any, weights: Any, of_parameter: Take, of_buffer: Take) -> Any:
    made: dict[int, Any] = {}  # what `deepcopy` finds in it counts as copied
    for mine, theirs in zip(module.parameters(), weights.parameters(), strict=True):
        made[id(mine)] = nn.Parameter(of_parameter(theirs.detach()), mine.requires_grad)
    for mine, theirs in zip(module.buffers(), weights.buffers(), strict=True):
        made[id(mine)] = of_buffer(theirs.detach())
    return copy.deepcopy(module, made)
