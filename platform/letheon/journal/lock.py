"""One driver per sweep: a second one is refused, and the error names the first. Independent of journals and of Ray.

The kernel's file lock decides between processes of one host and disappears with its holder, so a killed driver leaves
nothing to clean up. The file also names the holder, for the message, and for shared storage on which another host's
lock may be invisible. A holder on another host is believed; `take_over=True` overrides it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from letheon.common.errors import LetheonError

NAME = "lock"


@dataclass(frozen=True)
class Owner:
    """The driver of a sweep. `started`: unix seconds; `ticks`: its start time in the kernel, None if unknown."""

    pid: int
    host: str
    started: float
    ticks: int | None = None

    def age(self) -> float:
        """Seconds since the lock was taken."""
        return max(0.0, time.time() - self.started)

    @property
    def local(self) -> bool:
        return self.host == socket.gethostname()

    def gone(self) -> bool:
        """Whether the process ran on this host and is dead, or its pid now belongs to another process."""
        if not self.local:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return self.ticks is not None and _start_ticks(self.pid) != self.ticks


class LockHeld(LetheonError):
    """Another driver works on this sweep. `owner`: None in the moment before it has written its name."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.owner = owner
        who = "another process" if owner is None else f"process {owner.pid} on {owner.host} for {_age(owner.age())}"
        fix = (
            "stop it first" if owner is None or owner.local else f"stop it first, or if that host is gone delete {path}"
        )
        super().__init__(f"sweep {path.parent.name!r} is driven by {who}; {fix}")


class SweepLock:
    """Held from `acquire` (or `with`) to `release`, or to the end of the process."""

    def __init__(self, folder: str | os.PathLike[str], take_over: bool = False) -> None:
        self.path = Path(folder) / NAME
        self._take_over = take_over
        self._file: int | None = None

    def acquire(self) -> SweepLock:
        """Raises LockHeld with the owner's pid, host and age. The lock of a dead process is taken silently."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._claim(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return self

    def _claim(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(self.path, _read(self.path)) from None
        holder = _read(self.path)
        if holder is not None and not holder.gone() and not self._take_over:
            raise LockHeld(self.path, holder)
        me = Owner(os.getpid(), socket.gethostname(), time.time(), _start_ticks(os.getpid()))
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(asdict(me)).encode(), 0)
        os.fsync(file)

    def release(self) -> None:
        """Release the lock. The file stays, empty: removing it would race with the next driver opening it."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> SweepLock:
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def lock_holder(folder: str | os.PathLike[str]) -> Owner | None:
    """The process that drives the sweep in `folder` now; None if there is none (a dead one does not count)."""
    holder = _read(Path(folder) / NAME)
    return None if holder is None or holder.gone() else holder


def _read(path: Path) -> Owner | None:
    try:
        fields = json.loads(path.read_bytes())
        return Owner(int(fields["pid"]), str(fields["host"]), float(fields["started"]), fields.get("ticks"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets. None without /proc."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _age(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
