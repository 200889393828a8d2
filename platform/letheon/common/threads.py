"""Work that must be done, but not at the expense of the processes that are starting meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

LOWEST_PRIORITY = 19


def run_at_low_priority(work: Callable[[], object]) -> None:
    """Do it in a thread of the lowest priority, and wait for it. Raises what it raises."""
    problems: list[BaseException] = []

    def run() -> None:
        with suppress(OSError, AttributeError):  # threads have priorities of their own on Linux only
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        try:
            work()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, name="letheon-leisure", daemon=True)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
