"""One colour and one shape per method name, the same in all figures: front, capacity, dashboard, report. Pure.

The pages get this table with their data, so none chooses its own colours. A name that is not in the table (a
plug-in's) gets a mark derived from the name: it never changes, but two such names may share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from zlib import crc32

from letheon.plots.theme import DARK, LIGHT, ThemeName

_NAMED = (
    ("ga", "ga_rt", "npo_rt", "npo", "simnpo", "rmu", "idk_rt", "dpo"),
    ("ga_kl", "gru", "npo_kl", "tnpo", "wga", "task_arithmetic", "idk_ap", "dpo_rt"),
    ("satimp", "ngdiff", "undial", "kto", "kto_rt", "pdu", "idk_dpo", "dpo_kl"),
    ("ce_u", "flat", "me", "altpo", "sam"),
)
"""One row per shape, one column per colour: the methods that are compared most have a colour each."""


class Shape(NamedTuple):
    """`name`: what the pages call it. `marker`, `line`: matplotlib's names for the point and the line."""

    name: str
    marker: str
    line: str


SHAPES = (
    Shape("circle", "o", "-"),
    Shape("square", "s", "--"),
    Shape("up", "^", ":"),
    Shape("down", "v", "-."),
    Shape("pentagon", "p", "-"),
    Shape("plus", "P", "--"),
)
_PLACES = {name: (row, column) for row, names in enumerate(_NAMED) for column, name in enumerate(names)}
_COLOURS = len(LIGHT.methods)


class Mark(NamedTuple):
    """`light`, `dark`: the colour in each theme."""

    light: str
    dark: str
    shape: Shape

    def colour(self, theme: ThemeName) -> str:
        return self.dark if theme == "dark" else self.light

    def to_json(self) -> dict[str, str]:
        """`tone`: a CSS colour that depends on the theme."""
        return {"tone": f"light-dark({self.light}, {self.dark})", "shape": self.shape.name}


def mark_of(method: str) -> Mark:
    row, column = _PLACES.get(method) or _derived(method)
    return Mark(LIGHT.methods[column], DARK.methods[column], SHAPES[row])


def marks_of(methods: Iterable[str]) -> Mapping[str, dict[str, Any]]:
    """Method -> its mark as JSON, in alphabetical order."""
    return {method: mark_of(method).to_json() for method in sorted(set(methods))}


def _derived(method: str) -> tuple[int, int]:
    """(row, column) from the name, in rows that no method of the table has."""
    fresh = len(_NAMED)
    place = crc32(method.encode()) % ((len(SHAPES) - fresh) * _COLOURS)
    return fresh + place // _COLOURS, place % _COLOURS
