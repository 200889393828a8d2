"""Progress of a running sweep: a live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live

from letheon.journal import Row
from letheon.monitor.plain_text import row_line
from letheon.monitor.screen import Screen
from letheon.monitor.watch import LiveSweep, spec_facts
from letheon.pareto.labels import DEFAULT
from letheon.spec.model import SweepSpec

Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


@contextmanager
def progress(console: Console, folder: Path, spec: SweepSpec) -> Iterator[tuple[Show, Say]]:
    """Yield `show`, which takes all journal rows so far, and `say`, which takes a line of text.

    Both may be called from any thread. `folder`: the sweep's folder, which may not exist yet.
    """
    if not console.is_terminal:
        lines = PlainLines(console, spec.objectives)
        yield lines, lines.say
        return
    sweep = LiveSweep(folder, spec_facts(spec))
    with Live(console=console, refresh_per_second=1, transient=True) as live:

        def show(rows: Sequence[Row]) -> None:
            live.update(Screen(sweep.look()))

        yield show, lambda text: console.print(text, highlight=False, markup=False)


class PlainLines:
    """One line per report and per end of a trial, for logs and pipes."""

    def __init__(self, console: Console, objectives: Mapping[str, str] = DEFAULT) -> None:
        self._console, self._objectives = console, objectives
        self._shown: int | None = None

    def __call__(self, rows: Sequence[Row]) -> None:
        # The rows of a resumed sweep from before the interrupt were printed then.
        start = len(rows) if self._shown is None and len(rows) > 1 else self._shown or 0
        for row in rows[start:]:
            if text := row_line(row, self._objectives):
                self.say(text)
        self._shown = len(rows)

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
