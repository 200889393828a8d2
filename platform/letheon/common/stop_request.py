"""One request to stop: Ctrl-C (SIGINT) or SIGTERM sets it; preparation, search and audit poll it.

A signal changes nothing but a flag, so no row and no file is cut short. Whoever polls raises `Stopped`; what that
passes on its way out ends its processes without waiting for the epochs that they are in.
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
"""What a live picture has hidden, and does not bring back in a process that ends at once."""

Say = Callable[[str], None]


def _silent(text: str) -> None:
    """Nobody asked."""


class Stopped(KeyboardInterrupt):
    """The work was asked to stop, and did.

    Not an `Exception`: Ray Tune answers those by waiting for every running epoch (up to 15 seconds).
    """


class StopRequest:
    """Set by the first signal while it listens. The second one ends the process at once, with exit code 130."""

    def __init__(self, resume: str = "the same command", say: Say = _silent, note: Say = _silent) -> None:
        """`resume`: the command that goes on later, for people. `say` is given a line for them when work notices the
        request, `note` its cause, for the records; both once."""
        self._resume, self._say, self._note = resume, say, note
        self._cause: str | None = None
        self._noticed = False
        self._family: list[Any] = []

    @property
    def requested(self) -> bool:
        return self._cause is not None

    def request(self, cause: str) -> None:
        """What a signal does. `cause`: its name for people."""
        self._cause = self._cause or cause

    def check(self) -> None:
        """Raises Stopped if there is a request. To be called at least every half second while work is done."""
        if self._cause is not None:
            self.notice()
            raise Stopped(f"stopped by {self._cause}")

    def notice(self) -> None:
        """Say and note, once, that work ends now. A KeyboardInterrupt that came some other way counts as a request."""
        self.request(NAMES[signal.SIGINT])
        if not self._noticed:
            self._noticed = True
            self._note(f"stopped by {self._cause}")
            self._say(f"stopping ({self._cause}; a second one ends it at once); continue with: {self._resume}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals of the process set the request within the block. Outside of the main thread nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in NAMES}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not Python's

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        import psutil

        # Looked for at the first signal as well: what ends first, ends without its children.
        with suppress(psutil.Error):
            self._family += psutil.Process().children(recursive=True)
        if self.requested:
            self._end_at_once()
        self.request(NAMES[signal.Signals(number)])

    def _end_at_once(self) -> None:
        """Kill the processes that this one has started, and end. Buffers may be in use: none is touched."""
        import psutil

        for process in self._family:
            with suppress(psutil.Error):  # it has ended; its number may be another's by now, which psutil looks for
                process.kill()
        cursor = _SHOW_CURSOR if sys.__stdout__ is not None and sys.__stdout__.isatty() else b""
        os.write(2, cursor + f"\nended at once; continue with: {self._resume}\n".encode())
        os._exit(EXIT_CODE)

    def __deepcopy__(self, memo: object) -> StopRequest:
        """Ray Tune copies its settings; there is one request."""
        return self

    def __reduce__(self) -> tuple[type[StopRequest], tuple[()]]:
        """Ray Tune also writes them to a file; nobody asks whoever reads it."""
        return StopRequest, ()
