"""Where the names of front points go so that none covers another name or a point. Pure geometry, in 1/72 inch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_CHARACTER, _LINE, _MARK = 5.2, 10.0, 4.5  # size of a letter at 8 pt, height of a line, radius of a point


class Label(NamedTuple):
    """A name, its point's place in the panel, and how much it matters (lower first)."""

    text: str
    x: float
    y: float
    priority: int = 1


class Placed(NamedTuple):
    """A label that has room: offset from its point, and which end of the text is there."""

    label: Label
    dx: float
    dy: float
    align: str


class _Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top


_OFFSETS = ((5.0, 6.0, "left"), (-3.0, 8.0, "right"), (9.0, -3.0, "left"), (-5.0, -14.0, "right"), (5.0, 17.0, "left"))


def place(labels: Sequence[Label], width: float, height: float) -> list[Placed]:
    """Labels with a place inside the panel of `width` x `height`; those without room are left out."""
    marks = [_Box(one.x - _MARK, one.y - _MARK, one.x + _MARK, one.y + _MARK) for one in labels]
    panel = _Box(0, 0, width, height)
    taken: list[_Box] = []
    placed: list[Placed] = []
    for label in sorted(labels, key=lambda one: one.priority):
        for dx, dy, align in _OFFSETS:
            box = _box(label, dx, dy, align)
            if _inside(box, panel) and not any(box.meets(other) for other in (*marks, *taken)):
                taken.append(box)
                placed.append(Placed(label, dx, dy, align))
                break
    return placed


def _box(label: Label, dx: float, dy: float, align: str) -> _Box:
    size = _CHARACTER * len(label.text)
    left = label.x + dx - (size if align == "right" else 0.0)
    return _Box(left, label.y + dy - 1.0, left + size, label.y + dy + _LINE - 1.0)


def _inside(box: _Box, panel: _Box) -> bool:
    wide_enough = box.left >= panel.left and box.right <= panel.right
    return wide_enough and box.bottom >= panel.bottom and box.top <= panel.top
