"""Labels of front points: none covers another, and the knee always has one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from letheon.plots.labels import Box, Label, _box, place

SPOTS = st.tuples(st.floats(0, 300), st.floats(0, 200), st.integers(0, 2))


@given(st.lists(SPOTS, max_size=30))
def test_no_label_covers_another_or_leaves_the_panel(points: list[tuple[float, float, int]]) -> None:
    placed = place([Label(f"t{i:03d}@1", x, y, rank) for i, (x, y, rank) in enumerate(points)], 300, 200)
    boxes = [_box(label, dx, dy, align) for label, dx, dy, align in placed]
    for i, box in enumerate(boxes):
        assert box.left >= 0 and box.right <= 300 and box.bottom >= 0 and box.top <= 200
        assert not any(box.meets(other) for other in boxes[i + 1 :])


@given(st.lists(SPOTS, min_size=1, max_size=30))
def test_the_knee_always_has_its_label(points: list[tuple[float, float, int]]) -> None:
    knee = Label("t000@12  knee", *points[0][:2], priority=0)
    others = [Label(f"t{i:03d}@1", x, y, 1 + rank) for i, (x, y, rank) in enumerate(points[1:], start=1)]
    front_line = [Box(0, y - 1, 300, y + 1) for y in range(0, 200, 6)]
    placed = place([*others, knee], 300, 200, front_line)
    box = _box(*next(one for one in placed if one.label is knee))
    assert box.left >= 0 and box.right <= 300 and box.bottom >= 0 and box.top <= 200
