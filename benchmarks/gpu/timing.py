"""Time on a device, and how far a result is from another."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.run import Settings


def milliseconds(function: Callable[[], object], settings: Settings, repeats: int = 10) -> float:
    """The best of `repeats` calls (two if tiny), after two that are not counted."""
    best = float("inf")
    for number in range(2 + (2 if settings.tiny else repeats)):
        finish(settings)
        began = time.perf_counter()
        function()
        finish(settings)
        if number > 1:
            best = min(best, 1e3 * (time.perf_counter() - began))
    return round(best, 4)


def finish(settings: Settings) -> None:
    """Wait for the device."""
    if settings.cuda:
        torch.cuda.synchronize()


def distance(found: Tensor, expected: Tensor) -> float:
    """The length of the difference over the length of `expected`."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def at_most(limit: float, **distances: float) -> dict[str, float]:
    """The distances. Raises ArithmeticError, with all of them, if one is larger or not a number."""
    if not all(each <= limit for each in distances.values()):
        raise ArithmeticError(f"differs by more than {limit:g}: {distances}")
    return distances


def dtype_of(settings: Settings) -> torch.dtype:
    """What trials would use there."""
    return torch.bfloat16 if settings.cuda else torch.float32
