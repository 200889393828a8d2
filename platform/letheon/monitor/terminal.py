"""Tables and lines for a terminal of any size, by Rich. Does not know what a sweep is.

Where a table is too wide, whole columns are left out first; what is still too long is cut by Rich.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

GAP, STRETCHED = 2, 20
"""Between columns; and what a column that stretches needs at most."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ASCII = str.maketrans({"…": "~", "₁": "1", "₀": "0", "·": "-"})


def clean(text: str) -> str:
    """The text on one line, without anything that would steer a terminal."""
    return "".join(it if it.isprintable() else " " for it in ESCAPES.sub("", text))


def ascii_only(text: str) -> str:
    """For terminals that show nothing else."""
    return text.translate(ASCII).encode("ascii", "replace").decode()


def cut_text(text: str, style: str = "") -> Text:
    """A text that ends in … where there is no room for all of it."""
    return Text(clean(text), style=style, no_wrap=True, overflow="ellipsis")


@dataclass(frozen=True)
class Column:
    """`rank`: columns of the highest rank are left out first; those of 0 never. `stretch`: shrinks before others do."""

    head: str
    cells: Sequence[RenderableType]
    right: bool = False
    rank: int = 0
    stretch: bool = False

    @property
    def width(self) -> int:
        """What the column needs, in terminal cells."""
        longest = max((cell_len(str(it)) for it in self.cells if isinstance(it, str | Text)), default=0)
        return max(cell_len(self.head), min(longest, STRETCHED) if self.stretch else longest)


def grid(columns: Sequence[Column], width: int) -> Table:
    """A heading and a line for each row, in a terminal so many cells wide."""
    kept = [column for column in columns if column.head or any(map(str, column.cells))]
    while sum(column.width + GAP for column in kept) - GAP > width and any(column.rank for column in kept):
        last = max(column.rank for column in kept)
        kept = [column for column in kept if column.rank != last]
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in kept:
        side = "right" if column.right else "left"
        table.add_column(column.head, justify=side, no_wrap=not column.stretch, overflow="ellipsis")  # type: ignore[arg-type]
    for cells in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*(cut_text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table


def share_lines(available: int | None, wants: Sequence[tuple[int, int]]) -> list[int]:
    """How many lines each section gets, of (least, most) that it wants, the more important sections first.

    Every section first gets its least or nothing, then the first ones what is left, up to their most.
    """
    if available is None:
        return [most for _, most in wants]
    given, rest = [], available
    for least, most in wants:
        given.append(least if least <= min(rest, most) else 0)
        rest -= given[-1]
    for i, (_, most) in enumerate(wants):
        more = min(rest, most - given[i]) if given[i] else 0
        given[i] += more
        rest -= more
    return given
