"""Counts the bytes of all tensors that exist at a time, on any device and without noise."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class PeakTensorBytes(TorchDispatchMode):
    """Within it, `peak` is the most bytes that tensors made by operators, and those given, had at a time."""

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._alive: set[int] = set()
        self._now = self.peak = 0
        for tensor in existing:
            self._see(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._see, found)
        return found

    def _see(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in self._alive and storage.nbytes():
            self._alive.add(id(storage))
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, id(storage), storage.nbytes())
        return tensor

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._now -= size
