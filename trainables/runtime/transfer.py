"""Copies small tensors from the host to the device."""

from __future__ import annotations

import torch
from torch import Tensor


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """A copy of the host tensor `values` on the device, queued on the current stream; the host does not wait.

    An ordinary copy makes the host wait for all queued work, so the device idles while the host prepares the next
    batch. A copy from pinned memory does not; torch does not reuse that memory before the copy is done.
    """
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
