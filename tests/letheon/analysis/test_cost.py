"""How a sweep's slots spent their time: by hand on a small story, and by property on any."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.cost import SlotTime, cost_of
from letheon.dashboard.sweep_view import sweep_view
from letheon.monitor.plain_text import plain_lines
from letheon.plots.summary import sweep_summary
from tests.letheon.dashboard.support import record
from tests.letheon.monitor.views import view_of

Rows = list[dict[str, Any]]


def row(kind: str, time: float, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "seq": 0, "time": time, **fields}


def trial(name: str, time: float, stratum: str = "0.1") -> dict[str, Any]:
    return row("trial", time, trial=name, stratum=stratum, config={"method": "npo"}, baseline={"model_utility": 0.6})


def report(name: str, time: float, epoch: int, train: float, evaluation: float, forgot: float = -1.0) -> dict[str, Any]:
    metrics = {
        "train_seconds": train,
        "eval_seconds": evaluation,
        "log10_forget_quality": forgot,
        "model_utility": 0.6,
        "utility_ratio": 1.0,
    }
    return row("report", time, trial=name, epoch=epoch, metrics=metrics)


def end(name: str, time: float, outcome: str) -> dict[str, Any]:
    return row("end", time, trial=name, outcome=outcome, reason="", epoch=1)


def story() -> Rows:
    """Two slots: one trial runs two epochs and is the front, the other is pruned after its first."""
    return [
        row("sweep", 0.0, state="preparing"),
        row("sweep", 10.0, state="running", info={"slots": 2, "gpus_per_trial": 0.5}),
        trial("t000", 12.0),
        trial("t001", 12.0),
        report("t000", 22.0, 1, train=4.0, evaluation=3.0),
        report("t001", 24.0, 1, train=4.0, evaluation=3.0, forgot=-9.0),
        end("t001", 24.0, "pruned"),
        report("t000", 30.0, 2, train=5.0, evaluation=3.0, forgot=-0.5),
        end("t000", 30.0, "completed"),
        row("sweep", 35.0, state="finished"),
    ]


def test_one_wasted_share_for_screen_page_and_records() -> None:
    rows = story()
    share = 12.0 / 40.0  # of all slot time: 30 s of work and 10 s idle
    assert cost_of(rows).wasted_share == share
    view = sweep_view(record(rows, spec=None))["cost"]
    assert view["wasted_share"] == share and view["slot_seconds"] == 40.0
    assert sweep_summary(rows).numbers["cost/wasted_share"] == share
    assert any("wasted 30%" in line for line in plain_lines(view_of(rows)))


def test_every_second_is_counted_once() -> None:
    cost = cost_of(story())
    assert cost.total == SlotTime(
        train=13.0, evaluation=9.0, startup=8.0, wasted=12.0, epochs=3, epochs_saved=1, seconds_saved=10.0
    )
    assert (cost.preparation, cost.search, cost.idle) == (10.0, 20.0, 10.0)  # the search ends with its last trial
    assert cost.total.busy + cost.idle == pytest.approx(cost.slots * cost.search)
    assert cost.gpu_seconds == pytest.approx(15.0)


def test_time_without_a_driver_costs_nothing() -> None:
    rows = story()
    later = [{**one, "time": one["time"] + 1000.0} for one in rows[5:]]
    gap = [
        row("sweep", 1022.0, state="preparing"),
        row("sweep", 1022.0, state="running", info={"slots": 2, "gpus_per_trial": 0.5}),
    ]
    resumed = cost_of([*rows[:5], *gap, *later])
    assert resumed.search == cost_of(rows).search
    assert resumed.total.busy == pytest.approx(cost_of(rows).total.busy - 10.0)  # the unfinished epoch of t001 is lost


def test_a_live_sweep_counts_running_trials_as_busy() -> None:
    live = cost_of(story()[:5], now=30.0)
    assert live.search == 20.0
    assert live.idle == pytest.approx(2 * 20.0 - 10.0 - (8.0 + 18.0))


def test_saved_epochs_count_up_to_the_schedulers_max_epochs() -> None:
    assert cost_of(story(), max_epochs=10).total.epochs_saved == 9


def test_an_empty_sweep_has_no_cost() -> None:
    assert cost_of([]).to_json()["total"] == cost_of([row("sweep", 0.0, state="preparing")]).to_json()["total"]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.sampled_from(["trial", "report", "end", "preparing", "running", "interrupted"]),
            st.integers(0, 3),
            st.floats(0, 200) | st.sampled_from([float("nan"), float("inf"), -1.0]),
        ),
        max_size=40,
    )
)
def test_no_rows_give_negative_seconds(steps: list[tuple[float, str, int, float]]) -> None:
    time, rows, epochs = 0.0, [], [0, 0, 0, 0]
    for gap, kind, number, seconds in steps:
        time += gap
        name = f"t{number:03d}"
        if kind == "trial":
            rows.append(trial(name, time))
        elif kind == "report" and any(one.get("trial") == name for one in rows):
            epochs[number] += 1
            rows.append(report(name, time, epochs[number], seconds, seconds))
        elif kind == "end" and any(one.get("trial") == name for one in rows):
            rows.append(end(name, time, "pruned"))
        elif kind in ("preparing", "running", "interrupted"):
            rows.append(row("sweep", time, state=kind, info={"slots": 2}))
    cost = cost_of(rows, max_epochs=5)
    total = cost.total
    parts = (total.train, total.evaluation, total.startup, cost.idle, cost.search, cost.preparation, total.wasted)
    assert all(part >= 0 for part in parts)
    assert total.wasted <= total.busy + 1e-9
    assert total.seconds_saved >= 0
