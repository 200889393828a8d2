"""The driver of a sweep as a process of its own, started and interrupted from Python (docs/decisions/0027).

The driver's standard input is a pipe that only this process holds. When this process ends, however it ends, the driver
reads the end of the file and interrupts its sweep.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from letheon.common.errors import LetheonError
from letheon.common.stop_request import EXIT_CODE
from letheon.journal import lock_holder

LOG = Path("logs", "driver.log")
STOP_SECONDS, POLL_SECONDS = 180.0, 0.1
_LAST_LINES = 5


class DriverFailed(LetheonError):
    """The driver ended with an error, or cannot be stopped from here."""

    exit_code = 3


@dataclass(frozen=True)
class Driver:
    """A driver that this process started. `log`: its output, which begins at byte `start` of the file."""

    process: subprocess.Popen[bytes]
    log: Path
    start: int

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def problem(self) -> str | None:
        """The last lines of a driver that failed; None if it runs, has finished or was interrupted."""
        code = self.process.poll()
        if code in (None, 0, EXIT_CODE, -signal.SIGTERM):
            return None
        with self.log.open("rb") as file:
            file.seek(self.start)
            lines = file.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-_LAST_LINES:]) or f"it ended with code {code}"


_STARTED: dict[Path, Driver] = {}
"""By sweep folder. Kept here, not in a handle: a pipe that nobody refers to is closed, and its sweep interrupted."""


def start_driver(folder: Path, arguments: Sequence[str]) -> Driver:
    """Run `letheon ARGUMENTS`, the driver of the sweep in `folder`, until it ends or this process does."""
    log = folder / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "agg"}  # a notebook's draws in notebooks only
    with log.open("ab") as out:
        start = out.tell()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "letheon.cli.driver", *arguments],  # -P: no modules of the working folder
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the kernel's interrupt goes to its whole process group
            env=environment,
        )
        _STARTED[folder] = Driver(process, log, start)
    return _STARTED[folder]


def driver_of(folder: Path) -> Driver | None:
    """The last driver that this process started for the sweep in `folder`."""
    return _STARTED.get(folder)


def starting(root: Path) -> set[str]:
    """Names of sweeps whose driver was started here and runs, though there may be no file of the sweep yet."""
    return {folder.name for folder, driver in _STARTED.items() if folder.parent.parent == root and driver.running}


def interrupt(folder: Path) -> bool:
    """Interrupt the driver of the sweep in `folder`, as Ctrl-C does, and wait for its end.

    Returns False if no driver runs. Raises DriverFailed if it runs on another host, or has not ended after
    STOP_SECONDS.
    """
    driver, holder = driver_of(folder), lock_holder(folder)
    if driver is not None and driver.running:
        pid = driver.process.pid
    elif holder is None:
        return False
    elif holder.local:
        pid = holder.pid
    else:
        raise DriverFailed(
            f"sweep {folder.name!r}: process {holder.pid} on {holder.host} runs it; stop it there, or give --address"
        )
    os.kill(pid, signal.SIGTERM)  # Ray's jobs ignore SIGINT
    end = time.monotonic() + STOP_SECONDS
    while _runs(folder, pid):
        if time.monotonic() > end:
            raise DriverFailed(f"process {pid} has not ended after {STOP_SECONDS:.0f} s; end it: kill -9 {pid}")
        time.sleep(POLL_SECONDS)
    return True


def _runs(folder: Path, pid: int) -> bool:
    driver = driver_of(folder)
    if driver is not None and driver.process.pid == pid:
        return driver.running
    holder = lock_holder(folder)
    return holder is not None and holder.pid == pid
