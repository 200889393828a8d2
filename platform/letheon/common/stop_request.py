"""One request to stop: Ctrl-C (SIGINT) or SIGTERM sets it; preparation, search and audit poll it.

A signal only sets a flag, so no row and no file is cut short. The poller raises `Stopped`; the code that it unwinds
ends its processes without waiting for their current epochs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

EXIT_CODE = 130
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_SHOW_CURSOR = b"\x1b[?25h"
"""A live display hides the cursor, and cannot restore it in a process that ends at once."""

Say = Callable[[str], None]


def _ignore(text: str) -> None:
    """The default for both callbacks."""


class Stopped(KeyboardInterrupt):
    """Work stopped on request.

    Not an `Exception`: on those Ray Tune waits for every running epoch (up to 15 seconds).
    """


class StopRequest:
    """Set by the first signal while listening. The second one ends the process at once, with exit code 130."""

    def __init__(self, resume: str = "the same command", say: Say = _ignore, note: Say = _ignore) -> None:
        """`resume`: the command that continues later. `say` gets one line for the user when work notices the request,
        `note` its cause for the records; each is called once."""
        self._resume, self._say, self._note = resume, say, note
        self._cause: str | None = None
        self._noticed = False
        self._process: Any = None  # this process, as psutil sees it
        self._children: list[Any] = []

    @property
    def requested(self) -> bool:
        return self._cause is not None

    def request(self, cause: str) -> None:
        """Set the request, as a signal does. `cause`: what to call it in messages; the first one counts."""
        self._cause = self._cause or cause

    def check(self) -> None:
        """Raises Stopped if the request is set. Call it at least every half second during work."""
        if self._cause is not None:
            self.notice()
            raise Stopped(f"stopped by {self._cause}")

    def notice(self) -> None:
        """Call `say` and `note`, once. For a KeyboardInterrupt that did not come through `listening` it also sets the
        request."""
        self.request(NAMES[signal.SIGINT])
        if not self._noticed:
            self._noticed = True
            self._note(f"stopped by {self._cause}")
            self._say(f"stopping ({self._cause}; a second one ends it at once); continue with: {self._resume}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals set the request within the block. Does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        import psutil  # here: an import in a signal handler can meet another one that is half done

        self._process = psutil.Process()
        before = {number: signal.signal(number, self._on_signal) for number in NAMES}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        import psutil

        # Listed at the first signal too: a process whose parent ends before the second signal would not be found.
        with suppress(psutil.Error):
            self._children += self._process.children(recursive=True)
        if self.requested:
            self._end_at_once()
        self.request(NAMES[signal.Signals(number)])

    def _end_at_once(self) -> None:
        """Kill the child processes, then exit. Flushes no buffers: the signal may have come while one was in use."""
        import psutil

        for process in self._children:
            with suppress(psutil.Error):  # it has ended; psutil checks that its pid was not reused
                process.kill()
        cursor = _SHOW_CURSOR if sys.__stdout__ is not None and sys.__stdout__.isatty() else b""
        os.write(2, cursor + f"\nended at once; continue with: {self._resume}\n".encode())
        os._exit(EXIT_CODE)

    def __deepcopy__(self, memo: object) -> StopRequest:
        """The request itself: Ray Tune copies its settings, and all must share one request."""
        return self

    def __reduce__(self) -> tuple[type[StopRequest], tuple[()]]:
        """A new request that is not set: Ray Tune also pickles its settings into a file."""
        return StopRequest, ()
