"""Makes imports faster: hides packages that are not needed and pauses garbage collection.

Imports nothing heavy itself, so that it can be used before everything else.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hide_packages(*names: str) -> Iterator[None]:
    """Within the block, packages that are not yet imported look as if they were not installed."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # makes importing it an ImportError
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection in all threads. Imports create little garbage but trigger many collections, which
    would take a quarter of their time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
