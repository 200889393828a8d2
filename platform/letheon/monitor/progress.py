"""Progress of a running sweep or preparation: a live screen on a terminal, plain lines elsewhere.

A thread looks at the folder every second, so something is visible even while the driver waits for Ray, for the records
or for a long step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from letheon.journal import JournalError, Row
from letheon.journal.activity import read_activity
from letheon.journal.state import ACTIVE
from letheon.monitor.activity import activity_in_a_line, activity_picture
from letheon.monitor.plain_text import head_line, row_line
from letheon.monitor.screen import Screen
from letheon.monitor.watch import LiveSweep, spec_facts
from letheon.pareto.labels import DEFAULT
from letheon.spec.model import SweepSpec

PERIOD_SECONDS = 1.0
QUIET_SECONDS = 6.0
"""A log without a new line for so long gets one that says what runs."""

Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


@contextmanager
def progress(console: Console, folder: Path, spec: SweepSpec) -> Iterator[tuple[Show, Say]]:
    """Yield `show`, which takes all journal rows so far, and `say`, which takes a line of text.

    Both may be called from any thread. `folder`: the sweep's folder, which may not exist yet.
    """
    sweep, lock = LiveSweep(folder, spec_facts(spec)), threading.Lock()
    if not console.is_terminal:
        lines = PlainLines(console, spec.objectives)

        def running() -> str:
            view = sweep.look()
            if view.state.state not in ACTIVE:  # the driver has not begun, or has ended but for its records
                return "waiting for the records"
            return activity_in_a_line(view.activity) or head_line(view)

        with _every_second(lambda: lines.keep_going(running)):
            yield lines, lines.say
        return
    with Live(console=console, refresh_per_second=1, transient=True) as live:

        def show(_: Sequence[Row] = ()) -> None:
            with lock:
                live.update(Screen(sweep.look()))

        with _every_second(show):
            yield show, lambda text: console.print(text, highlight=False, markup=False)


@contextmanager
def preparation_progress(console: Console, folder: Path) -> Iterator[Say]:
    """The same for a preparation without a sweep; `folder`: where its `progress.json` is. Yields `say`."""
    if not console.is_terminal:
        lines = PlainLines(console)
        with _every_second(lambda: lines.keep_going(lambda: activity_in_a_line(read_activity(folder, time.time())))):
            yield lines.say
        return
    with Live(console=console, refresh_per_second=1, transient=True) as live:

        def picture() -> RenderableType:
            return activity_picture(read_activity(folder, time.time()), console.width, console.height - 1)

        with _every_second(lambda: live.update(picture())):
            yield lambda text: console.print(text, highlight=False, markup=False)


@contextmanager
def _every_second(call: Callable[[], None]) -> Iterator[None]:
    """Call it every second within the block, in a thread. A damaged journal is the driver's to report."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(PERIOD_SECONDS):
            with suppress(JournalError, OSError):
                call()

    thread = threading.Thread(target=loop, name="letheon-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class PlainLines:
    """One line per report and per end of a trial, for logs and pipes; what runs, where these are far apart."""

    def __init__(self, console: Console, objectives: Mapping[str, str] = DEFAULT) -> None:
        self._console, self._objectives = console, objectives
        self._shown: int | None = None
        self._lock, self._last = threading.Lock(), time.monotonic()

    def __call__(self, rows: Sequence[Row]) -> None:
        # The rows of a resumed sweep from before the interrupt were printed then.
        start = len(rows) if self._shown is None and len(rows) > 1 else self._shown or 0
        for row in rows[start:]:
            if text := row_line(row, self._objectives):
                self.say(text)
        self._shown = len(rows)

    def say(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            self._last = time.monotonic()
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def keep_going(self, running: Callable[[], str | None]) -> None:
        """Print what runs if nothing was printed for QUIET_SECONDS."""
        if time.monotonic() - self._last >= QUIET_SECONDS and (text := running()) is not None:
            self.say(text)
