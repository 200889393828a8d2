"""The fold of a sweep's journal: its state by hand, and by definition at every split of any journal."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.journal import Journal, SweepHistory, SweepLock, SweepState, TrialState, status_of, summary
from letheon.journal.state import ACTIVE
from tests.letheon.monitor.stories import Rows, tales


def whole(rows: Rows, sweep: str, now: float | None) -> SweepState:
    """The state by its definition: each part from all of the journal."""
    last = next((row for row in reversed(rows) if row["kind"] == "sweep"), None)
    resting = "running" if last is None or last["state"] in ACTIVE else "interrupted"
    ends = {row["trial"]: row for row in rows if row["kind"] == "end"}
    trials = []
    for row in rows:
        if row["kind"] != "trial":
            continue
        reports = [one for one in rows if one["kind"] == "report" and one["trial"] == row["trial"]]
        newest = max(reports, key=lambda one: one["epoch"], default=None)
        end = ends.get(row["trial"])
        trials.append(
            TrialState(
                row["trial"],
                row["stratum"],
                row["config"],
                resting if end is None else "finished",
                None if end is None else end["outcome"],
                None if end is None else end["reason"],
                0 if newest is None else newest["epoch"],
                (row["baseline"] or {}) if newest is None else newest["metrics"],
            )
        )
    seconds, phase = 0.0, ""
    for i, row in enumerate(rows):
        begins = row.get("state") == "preparing" or (row.get("state") == "running" and phase != "preparing")
        if i and not begins:
            seconds += max(0.0, row["time"] - rows[i - 1]["time"])
        phase = row["state"] if row["kind"] == "sweep" else phase
    state = "preparing" if last is None else last["state"]
    if now is not None and rows and state in ACTIVE:
        seconds += max(0.0, now - rows[-1]["time"])
    return SweepState(sweep, state, None if last is None else last.get("detail"), tuple(trials), seconds)


def same(left: object, right: object) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(left) == repr(right)


@settings(max_examples=60)
@given(tales(), st.data())
def test_the_state_at_every_split_is_that_of_the_rows_before(rows: Rows, data: st.DataObject) -> None:
    fold, looks = SweepHistory(), data.draw(st.sets(st.integers(0, len(rows))))
    for i in range(len(rows) + 1):
        if i in looks or i == len(rows):
            now = data.draw(st.none() | st.just(2000.0))
            assert same(fold.state("s", now), whole(rows[:i], "s", now))
        if i < len(rows):
            fold.take(rows[i])


def sweep_rows(tmp_path: Path) -> Journal:
    times = iter([0.0, 10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 1000.0, 1005.0, 1006.0])
    journal = Journal(tmp_path / "s" / "journal.jsonl", clock=lambda: next(times))
    journal.append("sweep", state="preparing", detail=None, info={})
    journal.append("sweep", state="running", detail=None, info={})
    for trial in ("t000", "t001"):
        config = {"method": "npo", "forget_fraction": 0.05}
        journal.append("trial", trial=trial, stratum="0.05", config=config, baseline={"model_utility": 0.6})
    for epoch, ratio in ((1, 0.9), (2, math.nan)):
        journal.append("report", trial="t000", epoch=epoch, metrics={"utility_ratio": ratio}, decision={})
    journal.append("end", trial="t000", outcome="collapsed", reason="utility_ratio is nan", epoch=2)
    journal.append("sweep", state="running", detail="resumed", info={})
    return journal


def test_the_state_of_a_sweep(tmp_path: Path) -> None:
    config = {"method": "npo", "forget_fraction": 0.05}
    common = {"stratum": "0.05", "config": config}
    nan = {"outcome": "collapsed", "reason": "utility_ratio is nan"}
    state = summary(sweep_rows(tmp_path).rows, "s", now=1003.0)
    assert state.to_json() == {
        "sweep": "s",
        "state": "running",
        "detail": "resumed",
        "trials": [
            {"trial": "t000", "state": "finished", **nan, "epoch": 2, **common, "metrics": {"utility_ratio": None}},
            {
                "trial": "t001", "state": "running", "outcome": None, "reason": None, "epoch": 0,
                **common, "metrics": {"model_utility": 0.6},
            },
        ],
        "counts": {"collapsed": 1, "running": 1},
        "seconds": 25.0, "tracking": None,
    }  # fmt: skip


def test_a_sweep_without_a_driver_is_interrupted(tmp_path: Path) -> None:
    journal = sweep_rows(tmp_path)
    with SweepLock(tmp_path / "s"):
        assert status_of(tmp_path / "s").state == "running"
    state = status_of(tmp_path / "s")
    assert (state.sweep, state.state, state.seconds) == ("s", "interrupted", 22.0)
    journal.append("sweep", state="finished", detail=None, info={})
    assert status_of(tmp_path / "s").state == "finished"
