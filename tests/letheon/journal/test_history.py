"""The fold of a sweep's journal: its state by definition at every split of any journal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.journal import SweepHistory, SweepState, TrialState
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
