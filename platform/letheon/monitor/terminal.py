"""Tables and lines for a terminal of any size, drawn by Rich. Independent of sweeps.

A table that is too wide first loses whole columns; Rich then cuts cells that are still too long.
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
"""Cells between columns, and the most cells that a stretching column requires."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ASCII = str.maketrans({"…": "~", "₁": "1", "₀": "0", "·": "-"})


def clean(text: str) -> str:
    """The text on one line, without control characters and escape sequences."""
    return "".join(it if it.isprintable() else " " for it in ESCAPES.sub("", text))


def ascii_only(text: str) -> str:
    """The text for terminals that show ASCII only."""
    return text.translate(ASCII).encode("ascii", "replace").decode()


def cut_text(text: str, style: str = "") -> Text:
    """One line of text that Rich cuts with … if it is too long."""
    return Text(clean(text), style=style, no_wrap=True, overflow="ellipsis")


@dataclass(frozen=True)
class Column:
    """`rank`: columns of the highest rank are dropped first, rank 0 never. `stretch`: shrinks before others."""

    head: str
    cells: Sequence[RenderableType]
    right: bool = False
    rank: int = 0
    stretch: bool = False

    @property
    def width(self) -> int:
        """The terminal cells that the column requires."""
        longest = max((cell_len(str(it)) for it in self.cells if isinstance(it, str | Text)), default=0)
        return max(cell_len(self.head), min(longest, STRETCHED) if self.stretch else longest)


def grid(columns: Sequence[Column], width: int) -> Table:
    """A heading and one line per row, for a terminal of `width` cells."""
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


def share_lines(available: int | None, wanted: Sequence[tuple[int, int]]) -> list[int]:
    """The lines that each section gets. `wanted`: (least, most) per section, most important first.

    Each section gets `least` lines or none; the remaining lines then go to the first sections, up to `most`.
    `available` None: no limit.
    """
    if available is None:
        return [most for _, most in wanted]
    shares, rest = [], available
    for least, most in wanted:
        shares.append(least if least <= min(rest, most) else 0)
        rest -= shares[-1]
    for i, (_, most) in enumerate(wanted):
        more = min(rest, most - shares[i]) if shares[i] else 0
        shares[i] += more
        rest -= more
    return shares
