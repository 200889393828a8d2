"""Lines of text that fit: tables, flowing phrases and bars for a terminal of any width. Knows nothing of sweeps.

Rich would wrap and shrink by itself; here whole columns and phrases give way instead, and a line stays one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.text import Text

GAP = 2
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ASCII = str.maketrans({"…": "~", "█": "#", "▒": "=", "░": ".", "₁": "1", "₀": "0", "·": "-"})


@dataclass(frozen=True)
class Paper:
    """`height`: None for as many lines as there are. `ascii_only`: the terminal shows nothing else."""

    width: int
    height: int | None = None
    ascii_only: bool = False

    def clean(self, text: str) -> str:
        """One line of what the terminal can show, whatever was in the text."""
        line = "".join(it if it.isprintable() else " " for it in ESCAPES.sub("", text))
        return line.translate(ASCII).encode("ascii", "replace").decode() if self.ascii_only else line

    def cut(self, text: str, width: int | None = None) -> str:
        """The text in at most `width` cells (by default the paper's), ending in … where it was longer."""
        line, most = self.clean(text), self.width if width is None else width
        if cell_len(line) <= most:
            return line
        if most < 1:
            return ""
        mark = "~" if self.ascii_only else "…"
        kept = chop_cells(line, most - 1)[0].rstrip() if most > 1 else ""
        return kept + mark

    def line(self, text: str, style: str = "") -> Text:
        return Text(self.cut(text), style=style)


@dataclass(frozen=True)
class Column:
    """`cells`: strings, or texts with styles of their own, which are not cut.

    `rank`: columns of the highest rank are left out first where the paper is narrow; those of 0 never.

    `style`: of every cell, or a style a cell. `stretch`: takes what is left of the width, and is cut to it.
    """

    head: str
    cells: Sequence[str | Text]
    right: bool = False
    rank: int = 0
    style: str | Sequence[str] = ""
    stretch: bool = False

    @property
    def width(self) -> int:
        return max(cell_len(str(it)) for it in (self.head, *self.cells))

    def style_of(self, row: int) -> str:
        return self.style if isinstance(self.style, str) else self.style[row]


def grid(paper: Paper, columns: Sequence[Column], head_style: str = "dim") -> list[Text]:
    """A heading and a line for each row; columns that do not fit are left out whole."""
    kept = [column for column in columns if column.head or any(map(len, column.cells))]
    while _width(kept) > paper.width and any(column.rank for column in kept):
        last = max(column.rank for column in kept)
        kept = [column for column in kept if column.rank != last]
    widths = [column.width for column in kept]
    over = sum(widths) + GAP * (len(kept) - 1) - paper.width
    for i, column in enumerate(kept):
        if column.stretch and over > 0:
            widths[i] = max(len(column.head), widths[i] - over)
    heads = [_cell(paper, column.head, width, column.right) for column, width in zip(kept, widths, strict=True)]
    lines = [_joined(paper, [Text(head, style=head_style) for head in heads])]
    for row in range(max((len(column.cells) for column in kept), default=0)):
        cells = [_filled(paper, column, row, width) for column, width in zip(kept, widths, strict=True)]
        lines.append(_joined(paper, cells))
    return lines


def _filled(paper: Paper, column: Column, row: int, width: int) -> Text:
    cell = column.cells[row]
    if isinstance(cell, Text):
        return cell
    return Text(_cell(paper, cell, width, column.right), style=column.style_of(row))


def _width(columns: Sequence[Column]) -> int:
    """That the columns need; one that stretches can do with its head."""
    needs = (cell_len(column.head) if column.stretch and column.rank == 0 else column.width for column in columns)
    return sum(needs) + GAP * (len(columns) - 1)


def _cell(paper: Paper, text: str, width: int, right: bool) -> str:
    cut = paper.cut(text, width)
    space = " " * (width - cell_len(cut))
    return space + cut if right else cut + space


def _joined(paper: Paper, cells: Sequence[Text]) -> Text:
    line = Text(" " * GAP).join(cells)
    line.rstrip()
    if line.cell_len > paper.width:
        line.truncate(paper.width)
    return line


def flow(paper: Paper, parts: Iterable[tuple[str, str]], indent: int = 0, between: str = "  ") -> list[Text]:
    """Phrases (text, style) side by side, as many to a line as fit; later lines begin at `indent`."""
    lines: list[Text] = []
    line, indent = Text(), min(indent, paper.width // 4)
    for text, style in parts:
        phrase = paper.cut(text, paper.width - indent)
        if line.cell_len and line.cell_len + len(between) + cell_len(phrase) > paper.width:
            lines.append(line)
            line = Text(" " * indent)
        elif line.cell_len:
            line.append(between)
        line.append(phrase, style=style)
    return [*lines, line] if line.cell_len else lines


def side_by_side(blocks: Sequence[Sequence[Text]], width: int) -> list[Text]:
    """Blocks of lines beside each other, each `width` wide."""
    lines = []
    for row in range(max(map(len, blocks), default=0)):
        line = Text()
        for i, block in enumerate(blocks):
            piece = block[row].copy() if row < len(block) else Text()
            if i < len(blocks) - 1:
                piece.pad_right(max(0, width - piece.cell_len))
            line.append_text(piece)
        line.rstrip()
        lines.append(line)
    return lines


def bar(paper: Paper, done: float, begun: float, width: int, styles: tuple[str, str, str]) -> Text:
    """Shares of a whole: what is done, what has begun (the done included), and the rest, told apart without colour."""
    full = round(max(0.0, min(done, 1.0)) * width)
    full = full if full < width or done >= 1 else width - 1  # full means all
    partly = max(full, round(max(0.0, min(begun, 1.0)) * width))
    pieces = (("█" * full, styles[0]), ("▒" * (partly - full), styles[1]), ("░" * (width - partly), styles[2]))
    return Text.assemble(*((paper.clean(text), style) for text, style in pieces))


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
