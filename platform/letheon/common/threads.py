"""Runs work at low priority, so that it does not slow down processes that start at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

LOWEST_PRIORITY = 19


def run_at_low_priority(work: Callable[[], object]) -> None:
    """Run `work` in a thread of the lowest priority and wait for it. Raises what it raises."""
    problems: list[BaseException] = []

    def run() -> None:
        with suppress(OSError, AttributeError):  # only Linux has priorities per thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        try:
            work()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, name="letheon-low-priority", daemon=True)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
