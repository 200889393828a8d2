"""Has code that rounds to float32 compute in float64, without a change to the code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def doubles() -> Iterator[None]:
    """Meanwhile float64 stays float64, and plain numbers become float64."""
    tensors: Any = torch.Tensor
    usual, casts = torch.get_default_dtype(), (tensors.float, tensors.to)

    def as_float(self: Tensor, *arguments: Any, **named: Any) -> Any:
        return self if self.dtype == torch.float64 else casts[0](self, *arguments, **named)

    def to(self: Tensor, *arguments: Any, **named: Any) -> Any:
        rounds = self.dtype == torch.float64 and torch.float32 in (*arguments, *named.values())
        return self if rounds else casts[1](self, *arguments, **named)

    tensors.float, tensors.to = as_float, to
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        tensors.float, tensors.to = casts
        torch.set_default_dtype(usual)
