"""Compiles decoder layers, and a few functions of tensors, with `torch.compile`.

Each layer is compiled in place. All layers share the first one's code, which later trials in the same process reuse,
and, through the cache on disk, other processes and sweeps.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from trainables.config import Compilation
from trainables.model.cpu.patch import unpatch
from trainables.runtime.fast_paths import allowed

T = TypeVar("T")
_compiling: set[bool] = set()  # not empty once this process compiles layers
_MOST_SIZES = 128  # batch sizes to compile for; further ones run uncompiled
_set_up = threading.local()

ANY_SIZE = "LETHEON_COMPILE_ANY_SIZE"
"""Environment variable: 1 compiles decoder layers once for batches of all sizes instead of once per size."""
SUPPRESS_ERRORS = "TORCHDYNAMO_SUPPRESS_ERRORS"
"""Torch's environment variable: 0 raises what prevents compilation instead of running uncompiled."""


def should_compile(setting: Compilation, device: torch.device | str, sharded: bool, packed: bool) -> bool:
    """`auto`: on GPUs, where kernel launches bound a step, for packed rows: padded batches have a new size nearly every
    time. Never under ZeRO-3, whose hooks gather weights, nor after compiled layers were switched off.
    """
    auto = setting == "auto" and packed and torch.device(device).type == "cuda"
    return not sharded and (setting == "on" or auto) and allowed("compiled layers")


def cache_compiled(folder: Path) -> None:
    """Keep compiled code in this folder for other processes and sweeps, unless the user has set another one."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def compile_layers(model: Any, backend: str = "inductor") -> int:
    """Mark the decoder layers to be compiled at their first call. Returns their number."""
    _compiling.add(True)
    _configure()
    unpatch(model)
    layers = decoder_layers(model)
    for layer in layers:
        layer.compile(dynamic=os.environ.get(ANY_SIZE) == "1", backend=backend)
    return len(layers)


def _configure() -> None:
    """Set what compilation may do in this thread: since torch 2.13 these settings are not those of other threads, and
    backward passes on GPUs run in a thread of their own.
    """
    torch._dynamo.config.recompile_limit = _MOST_SIZES
    torch._dynamo.config.suppress_errors = os.environ.get(SUPPRESS_ERRORS, "1") not in {"", "0"}
    _set_up.done = True


def raising_errors() -> AbstractContextManager[Any]:
    """Within the block what fails to compile raises instead of running uncompiled."""
    _configure()  # which nothing in the block may do again
    raising: AbstractContextManager[Any] = torch._dynamo.config.patch(suppress_errors=False)
    return raising


def stop_compiling() -> None:
    """Run what is compiled uncompiled, for the rest of the process."""
    _compiling.clear()
    torch.compiler.set_stance("force_eager")


def compiles(device: torch.device) -> bool:
    """Whether to compile functions of tensors on the device: on GPUs, in a process that compiles layers."""
    return device.type == "cuda" and bool(_compiling)


def fused(function: Callable[..., T]) -> Callable[..., T]:
    """The function compiled once for all sizes of the tensors' first dimension. Runs uncompiled in `eager_mode`."""

    def call(*tensors: Tensor) -> T:
        if _compiling and not hasattr(_set_up, "done"):
            _configure()
        for tensor in tensors:
            if tensor.ndim:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        found: T = _compiled(function)(*tensors)
        return found

    return call


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def decoder_layers(model: Any) -> list[Any]:
    """The decoder layers: the modules that transformers never splits over devices."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def eager_mode() -> AbstractContextManager[Any]:
    """Within the block compiled layers run uncompiled, for evaluation, whose batches have too many sizes."""
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance
