"""Small tensors on their way from the host to the device."""

from __future__ import annotations

import torch
from torch import Tensor


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` (host) on the device, in the order of what is queued there; the host goes on at once.

    An ordinary copy from the host waits until the device has done all that was queued before, and so leaves it idle
    while the host prepares what comes next. A copy out of page-locked memory does not; that memory is torch's own,
    which is not used anew before the copy is done.
    """
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
