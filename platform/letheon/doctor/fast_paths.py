"""The table of `letheon doctor --fast-paths`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.jobs.fast_paths import Checked

_ROW = "{:<24}{:<7}{:<6}{:>9}{:>11}{:>11}{:>8}  {}"
HEADER = _ROW.format("path", "device", "dtype", "values", "gradients", "allowed", "speed", "state")


def checks() -> Iterator[Checked]:
    """Every fast path on this machine's device, as it is checked."""
    from trainables.jobs.preload import preload

    preload()
    import torch

    from trainables.jobs.fast_paths import check_fast_paths

    yield from check_fast_paths("cuda" if torch.cuda.is_available() else "cpu")


def line(found: Checked) -> str:
    """One row of the table. `speed`: times as fast as the plain path."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1e}"

    speed = "" if found.ratio is None else f"{found.ratio:.2f}x"
    numbers = share(found.values), share(found.gradients), share(found.tolerance), speed
    return _ROW.format(found.path, found.device, found.dtype, *numbers, found.state)
