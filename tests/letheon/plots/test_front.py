"""The figure of the fronts: reproducible, without global state, and drawn whatever the sweep has."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from letheon.plots.front import plot_front
from tests.letheon.plots.test_layout import other_objectives
from tests.letheon.tracking.tracking_support import Story, front, story

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


def _one_point() -> Story:
    tale = Story()
    tale.trial("t000", "0.05", "ga")
    tale.report("t000", 1, 0.0, 0.6)
    return tale


def _not_finite() -> Story:
    tale = _one_point()
    tale.report("t000", 2, float("nan"), 0.5)
    tale.report("t000", 3, -3.0, float("inf"))
    return tale


def _no_report() -> Story:
    tale = Story()
    tale.trial("t000", "0.05", "ga")
    return tale


def _all_infeasible() -> Story:
    tale = _no_report()
    tale.report("t000", 1, -20.0, 0.0)
    return tale


@pytest.mark.parametrize("make", [Story, _one_point, _not_finite, _no_report, _all_infeasible])
def test_sweeps_with_little_to_show_are_drawn(make: Any) -> None:
    rows = make().rows
    png = plot_front(front(rows), rows, dpi=50)
    assert size(png) > (100, 100)


def test_means_and_minimised_objectives_are_drawn() -> None:
    assert size(plot_front(*other_objectives(), dpi=50)) > (100, 100)
