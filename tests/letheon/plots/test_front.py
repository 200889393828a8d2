"""The figure of the fronts: reproducible, without global state, and drawn whatever the sweep has."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from letheon.plots.front import plot_front
from tests.letheon.dashboard.support import LITTLE, Rows
from tests.letheon.plots.test_layout import other_objectives
from tests.letheon.tracking.tracking_support import front, story

PNG = b"\x89PNG\r\n\x1a\n"


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(PNG)
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_equal_input_gives_an_equal_figure(theme: Any) -> None:
    figures = [plot_front(front(story()), story(), theme, dpi=50) for _ in range(2)]
    assert figures[0] == figures[1]


def test_global_state_of_matplotlib_is_untouched() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plot_front(front(story()), story(), dpi=50)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("rows", LITTLE.values(), ids=LITTLE)
def test_sweeps_with_little_to_show_are_drawn(rows: Rows) -> None:
    assert size(plot_front(front(rows), rows, dpi=50)) > (100, 100)


def test_means_and_minimised_objectives_are_drawn() -> None:
    assert size(plot_front(*other_objectives(), dpi=50)) > (100, 100)
