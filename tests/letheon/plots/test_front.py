"""The picture of a sweep: it shows every stratum, and no label covers another."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.seeds import front_with_means
from letheon.pareto.objectives import Axis, Goals
from letheon.plots.front import plot_front
from letheon.plots.labels import Box, Label, place
from letheon.plots.layout import views
from tests.letheon.tracking.tracking_support import Story, front, story

PNG = b"\x89PNG\r\n\x1a\n"


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(PNG)
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_equal_input_gives_an_equal_picture(theme: Any) -> None:
    pictures = [plot_front(front(story()), story(), theme, dpi=50) for _ in range(2)]
    assert pictures[0] == pictures[1]


def test_nothing_global_of_matplotlib_is_touched() -> None:
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


def test_what_is_drawn() -> None:
    small, large = views(front(story()), story())
    assert [item.name for item in small.front] == ["t000@1", "t000@2", "t000@3"]
    assert small.target == (-12.0, 0.60) and small.retain == (0.0, 0.61) and large.retain is None
    paths = {path.trial: path for path in small.paths}
    assert paths["t000"].epochs == (0, 1, 2, 3) and paths["t001"].outcome == "pruned"
    assert sum(item.is_knee for item in small.front) == 1


spots = st.tuples(st.floats(0, 300), st.floats(0, 200), st.integers(0, 2))


@given(st.lists(spots, max_size=30))
def test_no_label_covers_another_or_leaves_the_panel(points: list[tuple[float, float, int]]) -> None:
    from letheon.plots.labels import _box

    placed = place([Label(f"t{i:03d}@1", x, y, rank) for i, (x, y, rank) in enumerate(points)], 300, 200)
    boxes = [_box(label, dx, dy, align) for label, dx, dy, align in placed]
    for i, box in enumerate(boxes):
        assert box.left >= 0 and box.right <= 300 and box.bottom >= 0 and box.top <= 200
        assert not any(box.meets(other) for other in boxes[i + 1 :])


@given(st.lists(spots, min_size=1, max_size=30))
def test_the_knee_always_has_its_label(points: list[tuple[float, float, int]]) -> None:
    from letheon.plots.labels import _box

    knee = Label("t000@12  knee", *points[0][:2], priority=0)
    others = [Label(f"t{i:03d}@1", x, y, 1 + rank) for i, (x, y, rank) in enumerate(points[1:], start=1)]
    front_line = [Box(0, y - 1, 300, y + 1) for y in range(0, 200, 6)]
    placed = place([*others, knee], 300, 200, front_line)
    box = _box(*next(one for one in placed if one.label is knee))
    assert box.left >= 0 and box.right <= 300 and box.bottom >= 0 and box.top <= 200


def _other_objectives() -> tuple[Any, Any]:
    """Smaller is better in one, three seeds, one of them audited."""
    tale = Story()
    tale.add("sweep", state="running", info={"retain": {"0.05": {"forget_rouge": 0.3, "model_utility": 0.6}}})
    baseline = {"forget_rouge": 1, "model_utility": 0.6}
    for seed in range(3):
        trial = f"t00{seed}"
        config = {"method": "npo_rt", "forget_fraction": 0.05, "seed": seed, "margin": 0.25}
        tale.add("trial", trial=trial, stratum="0.05", config=config, baseline=baseline)
        for epoch in (1, 2):
            utility = 0.60 - 0.03 * epoch + 0.01 * seed
            metrics = {"forget_rouge": 0.9 - 0.2 * epoch, "model_utility": utility, "utility_ratio": utility / 0.6}
            tale.add("report", trial=trial, epoch=epoch, metrics=metrics, decision={})
    worst = {"audit_worst_forget_rouge": 0.876}
    tale.add("audit", trial="t002", epoch=2, stratum="0.05", metrics=worst)
    tale.add("audit", trial="retain-0.05", epoch=0, stratum="0.05", metrics={"audit_worst_forget_rouge": 0.345})
    goals = Goals(x=Axis("forget_rouge", "min", 1.0, 0.0))
    return front_with_means(tale.rows, 3, "rouge", goals), tale.rows


def test_better_is_right_and_up_whichever_way_a_metric_goes() -> None:
    table, rows = _other_objectives()
    [view] = views(table, rows)
    assert [spot.name for spot in view.front] == ["t002@1", "t002@2"]
    assert view.front[0].spot.x < view.front[1].spot.x
    assert view.target is not None and view.retain is not None
    assert view.target.x < view.front[0].spot.x < view.retain.x
    assert len(view.means) == 2
    assert view.means[0].x == pytest.approx((-0.7, -0.7))
    low, high = view.means[0].y
    assert low < view.means[0].spot.y < high
    assert size(plot_front(table, rows, dpi=50)) > (100, 100)
