"""`letheon status`: shows one sweep or all of them, once or (`--watch`) every second while anything runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Group, RenderableType

from letheon.cli.options import resume_command
from letheon.cli.output import console, print_json, wide_console
from letheon.journal.state import ACTIVE
from letheon.monitor.activity import activity_in_a_line
from letheon.monitor.plain_text import head_line, plain_lines
from letheon.monitor.progress import QUIET_SECONDS
from letheon.monitor.screen import Screen
from letheon.monitor.sweep_list import Entry, Overview, table
from letheon.monitor.watch import LiveSweep, spec_facts

if TYPE_CHECKING:
    from letheon.sweep.sweep import Sweep

_PERIOD_SECONDS = 1.0
CLOCKS = ("seconds", "age", "left", "cost", "budget", "activity")
"""JSON keys that change with time alone, without a new journal row."""

V = TypeVar("V")


def show_sweep(sweep: Sweep, root: Path, watch: bool, as_json: bool) -> None:
    """Show one sweep. `root`: as given on the command line, for the resume command."""
    resume = resume_command(sweep.name, root)
    _Shown(
        look=LiveSweep(sweep.folder, spec_facts(sweep.spec)).look,
        ended=lambda view: view.state.state not in ACTIVE,
        to_json=lambda view: view.to_json(),
        lines=lambda view: [head_line(view)] if watch else plain_lines(view),
        running=lambda view: activity_in_a_line(view.activity) or head_line(view),
        picture=lambda view: Screen(view, full=not watch, resume=resume),
    ).show(watch, as_json)


def show_sweeps(root: Path, watch: bool, as_json: bool) -> None:
    """Show all sweeps under the root."""

    def lines(entries: list[Entry]) -> list[str]:
        return [entry.line() for entry in entries] or [f"no sweeps under {root}"]

    def picture(entries: list[Entry]) -> RenderableType:
        size = wide_console().size
        shown = entries[: size.height - 2] if watch else entries  # less the lines of the heading and the cursor
        return table(shown, size.width) if entries else Group(*lines(entries))

    _Shown(
        look=Overview(root).look,
        ended=lambda entries: not any(entry.state in ACTIVE for entry in entries),
        to_json=lambda entries: {"sweeps": [entry.to_json() for entry in entries]},
        lines=lines,
        picture=picture,
    ).show(watch, as_json)


@dataclass(frozen=True)
class _Shown(Generic[V]):
    """A view that `look` reads, and its forms: JSON, plain lines, and a picture for terminals.

    `running`: what runs, in a line, for a log that has had no line for a while.
    """

    look: Callable[[], V]
    ended: Callable[[V], bool]
    to_json: Callable[[V], dict[str, Any]]
    lines: Callable[[V], Iterable[str]]
    picture: Callable[[V], RenderableType]
    running: Callable[[V], str] | None = None

    def show(self, watch: bool, as_json: bool) -> None:
        """Show the view once; with `watch` at every change until it has ended."""
        if as_json:
            self._print(watch, lambda view: print_json(self.to_json(view), indent=None if watch else 2))
        elif not console().is_terminal:
            self._print(watch, self._print_lines, self.running)
        elif watch:
            from rich.live import Live

            with Live(console=wide_console(), auto_refresh=False) as live:
                self._repeat(lambda view: live.update(self.picture(view), refresh=True))
        else:
            wide_console().print(self.picture(self.look()))

    def _print_lines(self, view: V) -> None:
        for line in self.lines(view):
            console().print(line, soft_wrap=True)

    def _print(self, watch: bool, show: Callable[[V], None], running: Callable[[V], str] | None = None) -> None:
        if not watch:
            show(self.look())
            return
        last, printed = "", 0.0

        def show_change(view: V) -> None:
            nonlocal last, printed
            now = json.dumps(_without_clocks(self.to_json(view)))
            if now != last:
                last, printed = now, time.monotonic()
                show(view)
            elif running is not None and time.monotonic() - printed >= QUIET_SECONDS:
                printed = time.monotonic()
                console().print(running(view), soft_wrap=True)

        self._repeat(show_change)

    def _repeat(self, show: Callable[[V], None]) -> None:
        while True:
            view = self.look()
            show(view)
            if self.ended(view):
                return
            time.sleep(_PERIOD_SECONDS)


def _without_clocks(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_clocks(one) for key, one in value.items() if key not in CLOCKS}
    return [_without_clocks(one) for one in value] if isinstance(value, list) else value
