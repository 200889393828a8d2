"""Work of low priority: done before the call returns, in a thread that yields to others; what it raises is raised."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from letheon.common.threads import LOWEST_PRIORITY, run_at_low_priority


def refuse() -> None:
    raise LookupError("nothing there")


def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(LookupError, match="nothing there"):
        run_at_low_priority(refuse)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_it_is_done_at_the_lowest_priority_and_this_thread_keeps_its_own() -> None:
    before, seen = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), list[int]()
    run_at_low_priority(lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    assert seen == [LOWEST_PRIORITY]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
