"""Counts the bytes of all tensors that exist at a time, on any device and without noise."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class PeakTensorBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, `peak` is the most bytes that tensors made by operators had at a time, except `others` and views of
    them."""

    def __init__(self, others: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._storages = [tensor.untyped_storage() for tensor in others]  # kept, so that no other gets their identity
        self._known = set(map(id, self._storages))
        self._now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._see, found)
        return found

    def _see(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in self._known and storage.nbytes():
            self._known.add(id(storage))
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, id(storage), storage.nbytes())
        return tensor

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
