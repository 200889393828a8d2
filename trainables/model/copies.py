"""How an engine gets its own copy of the weights that a worker's trials start from.

The source stays in the worker, where copying it is fastest: on the device or in pinned host memory, as `gpu_share`
decides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CopyTensor = Callable[[Tensor], Tensor]


def cast_parameters(model: Any, dtype: torch.dtype) -> Any:
    """Cast parameters in place. Buffers (rotary frequencies) keep their precision, as under DeepSpeed."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def pin_memory(model: Any) -> Any:
    """Move parameters to pinned memory in place, if there is a GPU to copy them to."""
    if torch.cuda.is_available():
        for parameter in model.parameters():
            parameter.data = parameter.data.pin_memory()
    return model


def copy_to_device(module: Any, weights: Any, device: torch.device | str) -> Any:
    """A copy of `module` on the device with the weights of `weights`; neither is changed.

    `weights` is the same model, perhaps in another precision and on another device. Tied weights stay tied. Copies are
    queued on the current stream, so later computations there see them.
    """

    def copied(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True, copy=True)

    return _copy(module, weights, copied, copied)


def share_weights(module: Any, weights: Any, dtype: torch.dtype, device: torch.device | str) -> Any:
    """A copy of `module` that shares the parameters of `weights` which have the dtype already.

    Only for readers of the weights. ZeRO-3 moves one parameter at a time to the device and keeps only its own shard, so
    no worker needs memory for all of them. It does not shard buffers: they are copied.
    """
    return _copy(module, weights, lambda tensor: tensor.to(dtype), lambda tensor: tensor.to(device, copy=True))


def _copy(module: Any, weights: Any, copy_parameter: CopyTensor, copy_buffer: CopyTensor) -> Any:
    copies: dict[int, Any] = {}  # the memo of `deepcopy`: it uses these instead of copying
    for mine, theirs in zip(module.parameters(), weights.parameters(), strict=True):
        copies[id(mine)] = nn.Parameter(copy_parameter(theirs.detach()), mine.requires_grad)
    for mine, theirs in zip(module.buffers(), weights.buffers(), strict=True):
        copies[id(mine)] = copy_buffer(theirs.detach())
    return copy.deepcopy(module, copies)
