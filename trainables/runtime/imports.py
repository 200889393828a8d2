"""Imports what jobs on models need, before the first of them is there, and what makes imports take less time.

Imports nothing itself: whoever wants the collector still needs that before anything else.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Within the block packages that have not been imported yet look as if they were not installed."""
    away = [name for name in names if name not in sys.modules]
    for name in away:
        sys.modules[name] = None  # type: ignore[assignment]  # which makes its import an ImportError
    try:
        yield
    finally:
        for name in away:
            del sys.modules[name]


@contextmanager
def gc_paused() -> Iterator[None]:
    """Within the block Python does not look for garbage: imports make hardly any, and a quarter of their time would go
    into looking through everything that they have made, again and again. In all threads."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
