"""Decoder layers, and a few functions of tensors, as compiled code. Knows what may be compiled, nothing of steps.

Each layer is compiled in place, all from one piece of code: the first layer's compilation serves the others, the
trials that follow in the same process, and through the cache on disk other processes and sweeps.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from trainables.config import Compilation
from trainables.model.cpu.patch import unpatch

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_compiling: set[bool] = set()  # of this process: not empty once layers are to be compiled
_LIMIT = 128  # sizes of batches that are compiled for before the rest runs as it is


def wanted(setting: Compilation, device: torch.device | str, sharded: bool) -> bool:
    """`auto`: on GPUs, where a step is bound by launching kernels. Never where hooks gather weights (ZeRO-3)."""
    return not sharded and (setting == "on" or (setting == "auto" and torch.device(device).type == "cuda"))


def cache_compiled(folder: Path) -> None:
    """Keep compiled code in this folder, for other processes and sweeps, unless the user has chosen another."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def compile_layers(model: Any, backend: str = "inductor") -> int:
    """Returns how many layers there were to compile; that happens when they are first called."""
    _compiling.add(True)
    torch._dynamo.config.recompile_limit = _LIMIT
    torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
    unpatch(model)
    layers = list(_layers(model))
    for layer in layers:
        layer.compile(dynamic=False, backend=backend)
    return len(layers)


@cache
def warn_if_uncompiled() -> None:
    """After a step: a line in the log if no layer could be compiled, once a process. Steps are the same, but slower."""
    from torch._dynamo.utils import counters

    if not counters["stats"]["unique_graphs"]:
        _LOG.warning(
            "trial.compile: no decoder layer could be compiled, all run as they are; what torch logged before this "
            "line says why (often: no C compiler on the worker), or set trial.compile to off"
        )


def compiles(device: torch.device) -> bool:
    """Whether functions of tensors there are worth it: on GPUs, in a process that compiles layers."""
    return device.type == "cuda" and bool(_compiling)


def fused(function: Callable[..., T]) -> Callable[..., T]:
    """The function compiled, once for all lengths of the tensors' first dimension. Inside `eager_mode` it is itself."""

    def call(*tensors: Tensor) -> T:
        for tensor in tensors:
            if tensor.ndim:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        found: T = _compiled(function)(*tensors)
        return found

    return call


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def _layers(model: Any) -> Iterator[Any]:
    """The modules that transformers never splits over devices: decoder layers."""
    names = set(model._no_split_modules or ())
    return (module for module in model.modules() if type(module).__name__ in names)


def eager_mode() -> AbstractContextManager[Any]:
    """Inside, compiled layers run uncompiled: evaluation has too many sizes."""
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance
