"""The request to stop: set by real signals, noticed once, and the second one ends the process."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from letheon.common.stop_request import Stopped, StopRequest

TWICE = """
import os, signal, subprocess
from letheon.common.stop_request import StopRequest
child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
with StopRequest("letheon resume small").listening():
    os.kill(os.getpid(), signal.SIGTERM)
    print("first", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("second", flush=True)
"""


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_signal_sets_the_request_and_the_poller_stops(number: signal.Signals, cause: str) -> None:
    said: list[str] = []
    noted: list[str] = []
    stop, before = StopRequest("letheon resume small", said.append, noted.append), handlers()
    with stop.listening():
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.requested and noted == []
        for _ in range(2):
            with pytest.raises(Stopped, match=cause):
                stop.check()
    assert noted == [f"stopped by {cause}"]
    [line] = said
    assert cause in line and "letheon resume small" in line
    assert handlers() == before


def test_the_second_signal_ends_the_process_and_its_children_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=120, check=False)
    child, *lines = done.stdout.split()
    assert (done.returncode, lines) == (130, ["first"])
    deadline = time.monotonic() + 60
    while runs(int(child)):
        assert time.monotonic() < deadline, "its child outlives it"
        time.sleep(0.01)
    assert "letheon resume small" in done.stderr and "Traceback" not in done.stderr


def runs(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_an_interrupt_without_a_signal_handler_is_noticed_as_well() -> None:
    noted: list[str] = []
    stop = StopRequest(note=noted.append)
    stop.notice()
    stop.notice()
    assert stop.requested and noted == ["stopped by Ctrl-C"]


def test_only_the_main_thread_listens() -> None:
    stop, before, seen = StopRequest(), handlers(), list[list[object]]()

    def listen() -> None:
        with stop.listening():
            seen.append(handlers())

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_copy_is_the_request_itself_and_a_pickled_one_is_not_set() -> None:
    stop = StopRequest(note=lambda cause: None)
    stop.request("SIGTERM")
    assert copy.deepcopy(stop) is stop
    assert not pickle.loads(pickle.dumps(stop)).requested
