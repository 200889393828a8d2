"""Work at low priority: done before the call returns, in a thread of lower priority; its errors are raised."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from letheon.common.threads import LOWEST_PRIORITY, run_at_low_priority


def refuse() -> None:
    raise LookupError("nothing there")


def test_errors_of_the_work_are_raised() -> None:
    with pytest.raises(LookupError, match="nothing there"):
        run_at_low_priority(refuse)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities per thread")
def test_only_the_work_runs_at_the_lowest_priority() -> None:
    before, seen = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), list[int]()
    run_at_low_priority(lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    assert seen == [LOWEST_PRIORITY]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
