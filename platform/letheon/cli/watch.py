"""`letheon status`: shows one sweep or all of them, once or (`--watch`) every second while anything runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Group, RenderableType

from letheon.cli.options import resume_command
from letheon.cli.output import console, print_json, wide_console
from letheon.journal.state import ACTIVE
from letheon.monitor.plain_text import head_line, plain_lines
from letheon.monitor.screen import Screen
from letheon.monitor.sweep_list import Entry, Overview, table
from letheon.monitor.watch import LiveSweep, spec_facts

if TYPE_CHECKING:
    from letheon.monitor.view import LiveView
    from letheon.sweep.sweep import Sweep

_PERIOD_SECONDS = 1.0
CLOCKS = ("seconds", "age", "left", "cost", "budget")
"""JSON keys that change with time alone, without a new journal row."""

V = TypeVar("V")


def show_sweep(sweep: Sweep, root: Path, watch: bool, as_json: bool) -> None:
    """Show one sweep. `root`: as given on the command line, for the resume command."""
    resume = resume_command(sweep.name, root)

    def ended(view: LiveView) -> bool:
        return view.state.state not in ACTIVE

    def lines(view: LiveView) -> Iterable[str]:
        return [head_line(view)] if watch else plain_lines(view)

    watched = LiveSweep(sweep.folder, spec_facts(sweep.spec))
    watcher = _Watcher(watched.look, ended, lambda view: view.to_json())
    if as_json:
        watcher.print_json(watch)
    elif not console().is_terminal:
        watcher.print_lines(watch, lines)
    elif watch:
        watcher.draw(lambda view: Screen(view, resume=resume))
    else:
        wide_console().print(Screen(watched.look(), full=True, resume=resume))


def show_sweeps(root: Path, watch: bool, as_json: bool) -> None:
    """Show all sweeps under the root."""

    def ended(entries: list[Entry]) -> bool:
        return not any(entry.state in ACTIVE for entry in entries)

    def lines(entries: list[Entry]) -> list[str]:
        return [entry.line() for entry in entries] or [f"no sweeps under {root}"]

    def picture(entries: list[Entry]) -> RenderableType:
        size = wide_console().size
        shown = entries[: size.height - 2] if watch else entries  # less the lines of the heading and the cursor
        return table(shown, size.width) if entries else Group(*lines(entries))

    overview = Overview(root)
    watcher = _Watcher(overview.look, ended, lambda entries: {"sweeps": [entry.to_json() for entry in entries]})
    if as_json:
        watcher.print_json(watch)
    elif not console().is_terminal:
        watcher.print_lines(watch, lines)
    elif watch:
        watcher.draw(picture)
    else:
        wide_console().print(picture(overview.look()))


class _Watcher(Generic[V]):
    """Shows the view that `look` returns once, or every second until `ended(view)`. `to_json`: the view as JSON."""

    def __init__(
        self, look: Callable[[], V], ended: Callable[[V], bool], to_json: Callable[[V], dict[str, Any]]
    ) -> None:
        self._look, self._ended, self._to_json = look, ended, to_json

    def print_json(self, watch: bool) -> None:
        """Print one document; while watching, one line per change."""
        self._show(watch, lambda view: print_json(self._to_json(view), indent=None if watch else 2))

    def print_lines(self, watch: bool, lines: Callable[[V], Iterable[str]]) -> None:
        def show(view: V) -> None:
            for line in lines(view):
                console().print(line, soft_wrap=True)

        self._show(watch, show)

    def draw(self, picture: Callable[[V], RenderableType]) -> None:
        """Redraw in place on the terminal."""
        from rich.live import Live

        with Live(console=wide_console(), auto_refresh=False) as live:
            self._repeat(lambda view: live.update(picture(view), refresh=True))

    def _show(self, watch: bool, show: Callable[[V], None]) -> None:
        if not watch:
            show(self._look())
            return
        last = ""

        def show_change(view: V) -> None:
            nonlocal last
            now = json.dumps(_without_clocks(self._to_json(view)))
            if now != last:
                last = now
                show(view)

        self._repeat(show_change)

    def _repeat(self, show: Callable[[V], None]) -> None:
        while True:
            view = self._look()
            show(view)
            if self._ended(view):
                return
            time.sleep(_PERIOD_SECONDS)


def _without_clocks(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_clocks(one) for key, one in value.items() if key not in CLOCKS}
    return [_without_clocks(one) for one in value] if isinstance(value, list) else value
