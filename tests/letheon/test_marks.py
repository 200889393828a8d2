"""A method looks the same in every picture, and no two methods look the same."""

from __future__ import annotations

import re

from letheon.dashboard.bundle import STATIC
from letheon.dashboard.sweep_view import sweep_view
from letheon.report.marks import SHAPES, mark_of, marks_of
from letheon.report.theme import DARK, LIGHT
from tests.letheon.dashboard.support import record
from tests.letheon.tracking_support import story
from trainables.methods import METHODS


def test_every_method_has_a_mark_of_its_own() -> None:
    assert len({mark_of(name) for name in METHODS}) == len(METHODS)


def test_a_mark_hangs_on_the_name_alone() -> None:
    assert marks_of(["npo", "ga"])["npo"] == marks_of(["npo", "rmu", "dpo"])["npo"]
    assert sweep_view(record(story()))["marks"]["ga"] == mark_of("ga").to_json()


def test_the_pages_have_the_colours_and_the_shapes_of_the_pictures() -> None:
    style = (STATIC / "style.css").read_text()
    pages = re.findall(r"--series-\d: light-dark\((#\w+), (#\w+)\)", style)
    assert pages == list(zip(LIGHT.methods, DARK.methods, strict=True))
    shapes = (STATIC / "palette.js").read_text()
    assert all(f"{shape.name}:" in shapes for shape in SHAPES)
