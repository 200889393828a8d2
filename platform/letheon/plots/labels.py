"""Places the names of front points so that none covers another name or a point. Pure geometry, in 1/72 inch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_CHARACTER, _LINE, _MARK = 5.2, 10.0, 4.5  # size of a letter at 8 pt, height of a line, radius of a point


class Label(NamedTuple):
    """A name, the position of its point in the panel, and its priority (lower is placed first)."""

    text: str
    x: float
    y: float
    priority: int = 1


class Placed(NamedTuple):
    """A label with its offset from the point, and the end of the text that is there."""

    label: Label
    dx: float
    dy: float
    align: str


class Box(NamedTuple):
    """A rectangle; for a line a thin one."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top


_OFFSETS = ((5.0, 6.0, "left"), (-3.0, 8.0, "right"), (9.0, -3.0, "left"), (-5.0, -14.0, "right"), (5.0, 17.0, "left"))


def place(labels: Sequence[Label], width: float, height: float, lines: Sequence[Box] = ()) -> list[Placed]:
    """Labels inside the panel of `width` x `height`, clear of points, `lines` and each other.

    Those without room are left out, except the first one of priority 0: it may cover a line, or even a point.
    """
    marks = [Box(one.x - _MARK, one.y - _MARK, one.x + _MARK, one.y + _MARK) for one in labels]
    panel = Box(0, 0, width, height)
    taken: list[Box] = []
    placed: list[Placed] = []
    for label in sorted(labels, key=lambda one: one.priority):
        tries = [Placed(label, *offset) for offset in _OFFSETS]
        barriers: list[Sequence[Box]] = [(*marks, *lines, *taken)]
        if label.priority == 0 and not placed:
            tries.append(_pushed_inside(label, panel))
            barriers += [marks, ()]
        found = next(_fitting(tries, barriers, panel), None)
        if found is not None:
            taken.append(_box(*found))
            placed.append(found)
    return placed


def _fitting(tries: Sequence[Placed], barriers: Sequence[Sequence[Box]], panel: Box) -> Iterator[Placed]:
    for barrier in barriers:
        for one in tries:
            box = _box(*one)
            if _inside(box, panel) and not any(box.meets(other) for other in barrier):
                yield one


def _pushed_inside(label: Label, panel: Box) -> Placed:
    """Above the point, or below it at the top of the panel; moved left if the panel ends."""
    size = _CHARACTER * len(label.text)
    dx = max(0.0, min(label.x + 5.0, panel.right - size)) - label.x
    dy = 9.0 if label.y + 9.0 + _LINE <= panel.top else -16.0
    return Placed(label, dx, dy, "left")


def _box(label: Label, dx: float, dy: float, align: str) -> Box:
    size = _CHARACTER * len(label.text)
    left = label.x + dx - (size if align == "right" else 0.0)
    return Box(left, label.y + dy - 1.0, left + size, label.y + dy + _LINE - 1.0)


def _inside(box: Box, panel: Box) -> bool:
    wide_enough = box.left >= panel.left and box.right <= panel.right
    return wide_enough and box.bottom >= panel.bottom and box.top <= panel.top
