"""`letheon status`: one look at a sweep, or at all of them; with `--watch` one a second while anything runs."""

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
from letheon.monitor.watch import LiveSweep, asked_of

if TYPE_CHECKING:
    from letheon.monitor.view import LiveView
    from letheon.sweep.sweep import Sweep

_PERIOD_SECONDS = 1.0
CLOCKS = ("seconds", "age", "left", "cost", "budget")
"""What changes by itself while nothing happens."""

Seen = TypeVar("Seen")


def show_sweep(sweep: Sweep, root: Path, watch: bool, as_json: bool) -> None:
    """One sweep. `root`: as the command was given it."""
    resume = resume_command(sweep.name, root)

    def over(view: LiveView) -> bool:
        return view.state.state not in ACTIVE

    def lines(view: LiveView) -> Iterable[str]:
        return [head_line(view)] if watch else plain_lines(view)

    watched = LiveSweep(sweep.folder, asked_of(sweep.spec))
    watcher = _Watcher(watched.look, over, lambda view: view.to_json())
    if as_json:
        watcher.print_json(watch)
    elif not console().is_terminal:
        watcher.print_lines(watch, lines)
    elif watch:
        watcher.draw(lambda view: Screen(view, resume=resume))
    else:
        wide_console().print(Screen(watched.look(), full=True, resume=resume))


def show_sweeps(root: Path, watch: bool, as_json: bool) -> None:
    """All sweeps under the root."""

    def over(entries: list[Entry]) -> bool:
        return not any(entry.state in ACTIVE for entry in entries)

    def lines(entries: list[Entry]) -> list[str]:
        return [entry.line() for entry in entries] or [f"no sweeps under {root}"]

    def picture(entries: list[Entry]) -> RenderableType:
        size = wide_console().size
        shown = entries[: size.height - 2] if watch else entries  # the heading and the cursor have lines of their own
        return table(shown, size.width) if entries else Group(*lines(entries))

    overview = Overview(root)
    watcher = _Watcher(overview.look, over, lambda entries: {"sweeps": [entry.to_json() for entry in entries]})
    if as_json:
        watcher.print_json(watch)
    elif not console().is_terminal:
        watcher.print_lines(watch, lines)
    elif watch:
        watcher.draw(picture)
    else:
        wide_console().print(picture(overview.look()))


class _Watcher(Generic[Seen]):
    """Looks once or again and again, until what it sees is `over`; `document`: all of it as JSON."""

    def __init__(
        self, look: Callable[[], Seen], over: Callable[[Seen], bool], document: Callable[[Seen], dict[str, Any]]
    ) -> None:
        self._look, self._over, self._document = look, over, document

    def print_json(self, watch: bool) -> None:
        """One document; watching, a line whenever something has happened."""
        self._follow(watch, lambda seen: print_json(self._document(seen), indent=None if watch else 2))

    def print_lines(self, watch: bool, lines: Callable[[Seen], Iterable[str]]) -> None:
        def show(seen: Seen) -> None:
            for line in lines(seen):
                console().print(line, soft_wrap=True)

        self._follow(watch, show)

    def draw(self, picture: Callable[[Seen], RenderableType]) -> None:
        """On the terminal, in place."""
        from rich.live import Live

        with Live(console=wide_console(), auto_refresh=False) as live:
            self._each(lambda seen: live.update(picture(seen), refresh=True))

    def _follow(self, watch: bool, show: Callable[[Seen], None]) -> None:
        if not watch:
            show(self._look())
            return
        told = ""

        def show_news(seen: Seen) -> None:
            nonlocal told
            news = json.dumps(_still(self._document(seen)))
            if news != told:
                told = news
                show(seen)

        self._each(show_news)

    def _each(self, show: Callable[[Seen], None]) -> None:
        while True:
            seen = self._look()
            show(seen)
            if self._over(seen):
                return
            time.sleep(_PERIOD_SECONDS)


def _still(value: object) -> object:
    """All but the clocks."""
    if isinstance(value, Mapping):
        return {key: _still(one) for key, one in value.items() if key not in CLOCKS}
    return [_still(one) for one in value] if isinstance(value, list) else value
