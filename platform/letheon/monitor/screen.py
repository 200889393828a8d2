"""One screen of a sweep for terminals, shown by `sweep` while it runs and by `status --watch`.

Colour never carries information alone. On short terminals the sections shrink, the least important first; the header
always stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from letheon.monitor import sections
from letheon.monitor.activity import activity_picture, picture_lines
from letheon.monitor.terminal import ascii_only, share_lines
from letheon.monitor.view import LiveView

SPACED_FROM = 24
"""Lines of a terminal from which on the sections are separated by an empty line."""


@dataclass(frozen=True)
class Section:
    """`draw(lines)` returns about that many lines; longer output is cut. `rank`: 0 gets its lines first."""

    rank: int
    least: int
    most: int
    draw: Callable[[int], RenderableType]


class Screen:
    """A renderable that fits the terminal's width and height. `resume`: the command that continues the sweep.

    `full`: unlimited height, with all trials instead of only the running and last ended ones.
    """

    def __init__(self, view: LiveView, full: bool = False, resume: str | None = None) -> None:
        self._view, self._full, self._resume = view, full, resume

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        options = options.reset_height()

        def lines_of(part: RenderableType) -> list[list[Segment]]:
            return console.render_lines(part, options, pad=False)

        height = None if self._full else console.size.height - 1  # the cursor's own line
        lines = lines_of(sections.header(self._view))[:height]
        parts = list(self._sections(lines_of, options.max_width))
        gap = int(height is None or height >= SPACED_FROM)
        order = sorted(range(len(parts)), key=lambda i: parts[i].rank)
        wanted = [(parts[i].least + gap, parts[i].most + gap) for i in order]
        shares = dict(zip(order, share_lines(None if height is None else height - len(lines), wanted), strict=True))
        for i, part in enumerate(parts):
            if share := max(0, shares[i] - gap):
                lines += [[]] * gap + lines_of(part.draw(share))[:share]
        for line in lines:
            yield from (Segment(ascii_only(it.text), it.style) for it in line) if options.ascii_only else line
            yield Segment.line()

    def _sections(self, lines_of: Callable[[RenderableType], list[list[Segment]]], width: int) -> Iterator[Section]:
        """The sections that are not empty, from top to bottom."""
        view = self._view
        if notes := sections.notes(view, self._resume):
            yield Section(0, 1, len(lines_of(notes)), lambda _: notes)
        if strata := len(view.strata):
            yield Section(1, min(strata + 2, 4), strata + 2, lambda n: sections.strata(view, width, n))
        if most := picture_lines(view.activity):
            yield Section(1, 1, most, lambda n: activity_picture(view.activity, width, n))
        running = sum(stratum.running for stratum in view.strata.values())
        if running and not self._full:
            yield Section(2, 2, running + 1, lambda n: sections.running(view, width, n))
        if groups := sections.known_fronts(view, width):
            most = sum(sections.front_lines(groups))
            yield Section(4, min(most, sections.FRONT_LINES), most, lambda n: sections.fronts(view, groups, width, n))
        if cost := sections.cost(view):
            yield Section(3, 1, len(lines_of(cost)), lambda _: cost)
        if self._full and view.state.trials:
            yield Section(5, 1, len(lines_of(sections.trials(view, width))), lambda _: sections.trials(view, width))
        elif view.ended_last:
            yield Section(5, 2, 1 + len(view.ended_last), lambda n: sections.ended(view, width, n))
