"""One picture of a sweep for terminals: what `sweep` shows while it runs and `status --watch` beside it.

Everything is told by words and signs; colours only help. On short terminals sections shrink, the less important ones
first, and the header stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.text import Text

from letheon.live import sections
from letheon.live.paper import Paper, share_lines
from letheon.live.view import LiveView

AIRY = 24
"""From so many lines on, an empty line parts the sections."""
FRONT_LINES = 4
"""Two fronts with their knees: fewer are none."""


@dataclass(frozen=True)
class Section:
    """`draw(lines)` gives at most so many. `rank`: 0 gets its lines first."""

    rank: int
    least: int
    most: int
    draw: Callable[[int], Sequence[Text]]


class Screen:
    """A renderable as wide as the terminal, and never longer. `resume`: the command that goes on with the sweep.

    `full`: as many lines as it takes, for a list of all trials follows; so it has none itself.
    """

    def __init__(self, view: LiveView, full: bool = False, resume: str | None = None) -> None:
        self._view, self._full, self._resume = view, full, resume

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        height = None if self._full else console.size.height - 1  # the cursor's own line
        yield from draw(self._view, Paper(options.max_width, height, options.ascii_only), self._resume, not self._full)


def draw(view: LiveView, paper: Paper, resume: str | None = None, trials: bool = True) -> list[Text]:
    """The lines, at most as many as the paper has. `trials`: the running ones and the last that ended."""
    head = sections.header(view, paper)[: paper.height]
    notes = sections.notes(view, paper, resume)
    left = None if paper.height is None else paper.height - len(head)
    parts = _parts(view, paper, notes, trials)
    airy = paper.height is None or paper.height >= AIRY
    order = sorted(range(len(parts)), key=lambda i: parts[i].rank)
    extra = int(airy)
    wants = [(parts[i].least + extra, parts[i].most + extra) for i in order]
    given = dict(zip(order, share_lines(left, wants), strict=True))
    lines = list(head)
    for i, part in enumerate(parts):
        drawn = part.draw(given[i] - extra)[: given[i] - extra] if given[i] else []
        lines += ([Text()] if airy and drawn else []) + list(drawn)
    return lines


def _parts(view: LiveView, paper: Paper, notes: Sequence[Text], trials: bool) -> list[Section]:
    """The sections that have anything to say, from top to bottom."""
    strata, running = len(view.strata), sum(stratum.running for stratum in view.strata.values()) * trials
    last = len(view.ended_last) * trials
    found = [
        Section(0, 1, len(notes), lambda _: notes) if notes else None,
        Section(1, min(strata + 2, 4), strata + 2, lambda n: sections.strata(view, paper, n)) if strata else None,
        Section(2, 2, running + 1, lambda n: sections.running(view, paper, n)) if running else None,
        _fronts(view, paper),
        _cost(view, paper),
        Section(5, 2, 1 + last, lambda n: sections.ended(view, paper, n)) if last else None,
    ]
    return [part for part in found if part is not None]


def _fronts(view: LiveView, paper: Paper) -> Section | None:
    most = len(sections.fronts(view, paper, None))
    return Section(4, min(most, FRONT_LINES), most, lambda n: sections.fronts(view, paper, n)) if most else None


def _cost(view: LiveView, paper: Paper) -> Section | None:
    lines = sections.cost(view, paper)
    return Section(3, 1, len(lines), lambda _: lines) if lines else None
