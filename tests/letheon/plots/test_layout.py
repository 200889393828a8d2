"""What the figure of a front shows, whichever way its objectives go."""

from __future__ import annotations

from typing import Any

import pytest

from letheon.analysis.seeds import front_with_means
from letheon.pareto.objectives import Axis, Goals
from letheon.plots.front import plot_front
from letheon.plots.layout import views
from tests.letheon.tracking.tracking_support import Story, front, story


def test_what_is_drawn() -> None:
    small, large = views(front(story()), story())
    assert [item.name for item in small.front] == ["t000@1", "t000@2", "t000@3"]
    assert small.target == (-12.0, 0.60) and small.retain == (0.0, 0.61) and large.retain is None
    paths = {path.trial: path for path in small.paths}
    assert paths["t000"].epochs == (0, 1, 2, 3) and paths["t001"].outcome == "pruned"
    assert sum(item.is_knee for item in small.front) == 1


def test_the_third_objective_is_the_size_and_the_line_is_of_the_first_two() -> None:
    back = "probe_relearn_forget_rouge"
    tale = Story()
    tale.add("trial", trial="t000", stratum="0.05", config={"method": "ga"}, baseline={"model_utility": 0.6})
    for epoch, quality, utility, leak in ((1, -9.0, 0.58, 0.6), (2, -4.0, 0.55, 0.8), (3, -5.0, 0.54, 0.2)):
        metrics = {"log10_forget_quality": quality, "model_utility": utility, "utility_ratio": utility / 0.6}
        tale.add("report", trial="t000", epoch=epoch, metrics={**metrics, back: leak}, decision={})
    [view] = views(front_with_means(tale.rows, 1, "", Goals(z=Axis(back, "min", 1.0, 0.0))), tale.rows)
    assert {item.name: item.third for item in view.front} == pytest.approx(
        {"t000@1": 1 / 3, "t000@2": 0.0, "t000@3": 1.0}
    )
    assert view.stairs == [(-9.0, 0.58), (-4.0, 0.55)]  # t000@3 is beaten in the plane
    [plane] = views(front_with_means(tale.rows, 1, "", Goals()), tale.rows)
    assert [item.third for item in plane.front] == [None, None]
    assert plane.stairs == [item.spot for item in plane.front]
    assert plot_front(front_with_means(tale.rows, 1, "", Goals(z=Axis(back, "min", 1.0, 0.0))), tale.rows, dpi=40)


def other_objectives() -> tuple[Any, Any]:
    """A front with a minimised objective and three seeds, one of them audited, and its rows."""
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
    table, rows = other_objectives()
    [view] = views(table, rows)
    assert [spot.name for spot in view.front] == ["t002@1", "t002@2"]
    assert view.front[0].spot.x < view.front[1].spot.x
    assert view.target is not None and view.retain is not None
    assert view.target.x < view.front[0].spot.x < view.retain.x
    assert len(view.means) == 2
    assert view.means[0].x == pytest.approx((-0.7, -0.7))
    low, high = view.means[0].y
    assert low < view.means[0].spot.y < high
