"""What a soak leaves behind, and what its processes hold while they live. Linux only: reads /proc and /dev/shm."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

MARK = "LETHEON_SOAK"
"""An environment variable that every process of a soak has."""
SHARED_MEMORY = Path("/dev/shm")
PERIOD_SECONDS = 2.0
SETTLED_SECONDS = 30.0
"""By this age (seconds) a process has finished its imports and connections."""


def marked(mark: str) -> Iterator[str]:
    """Command lines of the processes that were started for this soak and still run, zombies left out."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]


def running(mark: str, seconds: float = 30) -> list[str]:
    """Those of them that remain after some time."""
    deadline = time.monotonic() + seconds
    while (found := list(marked(mark))) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [f"still running: {line}" for line in found]


def files(temporary: Path, folder: Path) -> list[str]:
    """Ray's folders of drivers that are gone and anything else of Letheon's, and half-written epochs."""
    left = [path for path in temporary.iterdir() if path.name.startswith("letheon-")]
    partial = list(folder.glob("*/root/sweeps/*/trials/*/.epoch-*"))
    return [f"left behind: {path}" for path in left] + [f"half-written: {path}" for path in partial]


def shared_memory() -> set[str]:
    """Names in /dev/shm that no living process has open or mapped."""
    names = {str(path) for path in SHARED_MEMORY.iterdir()} if SHARED_MEMORY.is_dir() else set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            names -= {line.rpartition(" ")[2] for line in (process / "maps").read_text().splitlines()}
            names -= {os.readlink(link) for link in os.scandir(process / "fd")}
    return names


@dataclass
class Life:
    """One process as it was seen: seconds since it was first seen, open handles, resident bytes."""

    kind: str
    began: float
    seen: list[tuple[float, int, int]] = field(default_factory=list)


class Census:
    """A thread that counts handles and memory of some processes, from `with` to the end of the block.

    `whom`: kind -> the process of that kind now, or None.
    """

    def __init__(self, whom: Callable[[], Mapping[str, int | None]]) -> None:
        self.lives: dict[int, Life] = {}
        self._whom, self._stop = whom, threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            for kind, process in self._whom().items():
                if process is not None:
                    with suppress(OSError, ValueError):
                        self._look(kind, process)

    def _look(self, kind: str, process: int) -> None:
        now, place = time.monotonic(), Path("/proc", str(process))
        pages = int((place / "statm").read_text().split()[1])
        life = self.lives.setdefault(process, Life(kind, now))
        life.seen.append((now - life.began, len(os.listdir(place / "fd")), pages * os.sysconf("SC_PAGE_SIZE")))

    def summary(self) -> dict[str, dict[str, Any]]:
        """By kind: how many there were, the most handles, and of the one that lived longest what grew once settled."""
        found: dict[str, dict[str, Any]] = {}
        for kind in sorted({life.kind for life in self.lives.values()}):
            lives = [life for life in self.lives.values() if life.kind == kind]
            found[kind] = {"processes": len(lives), "most_handles": max(n for life in lives for _, n, _ in life.seen)}
            longest = max(lives, key=lambda life: life.seen[-1][0])
            settled = [sight for sight in longest.seen if sight[0] >= SETTLED_SECONDS]
            if settled:
                (since, handles, memory), (until, later, more) = settled[0], settled[-1]
                found[kind] |= {
                    "watched_seconds": round(until - since),
                    "handles": [handles, later],
                    "resident_mb": [round(memory / 1e6), round(more / 1e6)],
                }
        return found
