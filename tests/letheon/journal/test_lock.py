"""The lock keeps a second driver out, and a dead one does not hold it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from letheon.journal import LockHeld, SweepLock, lock_holder
from tests.letheon.journal.processes import python_process

HOLDER = """
import sys, time
from letheon.journal import SweepLock
with SweepLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_refuses_a_second_driver_and_names_the_first(tmp_path: Path) -> None:
    with SweepLock(tmp_path / "s"), pytest.raises(LockHeld, match=rf"'s'.*process {os.getpid()} on \S+ for 0 s"):
        SweepLock(tmp_path / "s").acquire()
    assert lock_holder(tmp_path / "s") is None
    SweepLock(tmp_path / "s").acquire().release()


def test_the_lock_of_a_killed_driver_is_recovered(tmp_path: Path) -> None:
    holder = python_process(HOLDER, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockHeld, match=f"process {holder.pid} on"):
        SweepLock(tmp_path).acquire()
    found = lock_holder(tmp_path)
    assert found is not None
    assert found.pid == holder.pid
    holder.kill()
    holder.wait()
    assert lock_holder(tmp_path) is None
    with SweepLock(tmp_path):
        mine = lock_holder(tmp_path)
        assert mine is not None
        assert mine.pid == os.getpid()


def test_a_reused_pid_is_not_the_owner(tmp_path: Path) -> None:
    lock = SweepLock(tmp_path).acquire()
    fields = json.loads(lock.path.read_text())
    lock.release()
    lock.path.write_text(json.dumps({**fields, "ticks": 1}))
    assert lock_holder(tmp_path) is None
    SweepLock(tmp_path).acquire().release()


def test_a_driver_on_another_host_is_believed_unless_overruled(tmp_path: Path) -> None:
    fields = {"pid": 1, "host": "elsewhere", "started": time.time() - 7300, "ticks": None}
    (tmp_path / "lock").write_text(json.dumps(fields))
    with pytest.raises(LockHeld, match=r"process 1 on elsewhere for 2 h 1 min; .*delete"):
        SweepLock(tmp_path).acquire()
    with SweepLock(tmp_path, take_over=True):
        pass
