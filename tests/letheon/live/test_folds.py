"""Folds of the journal against the whole journal: equal at every split, and no dearer when the journal is long."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.front import front_of
from letheon.live.front_fold import FrontFold
from letheon.objectives import Axis, Goals, Limit
from letheon.records import Folded, SweepHistory, SweepState, TrialState, encode_rows
from letheon.records.state import ACTIVE
from tests.letheon.dashboard.support import LongStory
from tests.letheon.live.stories import Rows, tales

GOALS = (
    Goals(),
    Goals(limits=(Limit("loss", high=0.5),)),
    Goals(limits=(Limit("audit_worst_forget_rouge", high=0.5),)),
    Goals(x=Axis("loss", "min"), y=Axis("model_utility", "max", ratio="utility_ratio"), floor=0.5),
    Goals(x=Axis("audit_worst_forget_rouge", "min")),
)


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


@settings(max_examples=60)
@given(tales(), st.data())
def test_the_front_at_every_split_is_that_of_the_rows_before(rows: Rows, data: st.DataObject) -> None:
    goals = data.draw(st.sampled_from(GOALS))
    fold, looks = FrontFold(goals), data.draw(st.sets(st.integers(0, len(rows))))
    for i in range(len(rows) + 1):
        if i in looks or i == len(rows):
            assert same(sorted_strata(fold.front()), sorted_strata(front_of(rows[:i], goals=goals)))
        if i < len(rows):
            fold.take(rows[i])


def sorted_strata(front: dict[str, Any]) -> dict[str, Any]:
    return {**front, "strata": dict(sorted(front["strata"].items()))}


@settings(max_examples=30)
@given(tales(), st.lists(st.integers(0, 40), max_size=5).map(sorted))
def test_a_fold_that_follows_a_file_takes_each_row_once(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    folded = Folded(path, Counted)
    for i, cut in enumerate([*cuts, len(rows)]):
        with path.open("ab") as file:
            file.write(encode_rows(rows[cuts[i - 1] if i else 0 : cut]))
        assert folded.now().seen == Counter(row["seq"] for row in rows[:cut])


class Counted:
    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()

    def take(self, row: dict[str, Any]) -> None:
        self.seen[row["seq"]] += 1


def test_a_fold_begins_anew_with_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    rows = LongStory(3).rows
    folded = Folded(path, Counted)
    assert folded.now().seen == Counter()
    path.write_bytes(encode_rows(rows))
    assert folded.now().seen.total() == len(rows)
    path.unlink()
    assert folded.now().seen == Counter()
    path.write_bytes(encode_rows(rows[:2]))
    assert folded.now().seen == Counter([1, 2])


def test_a_row_costs_the_same_behind_a_long_journal() -> None:
    """Seconds of forty rows, behind 100 trials and behind 1,000: within a factor of four, noise included."""

    def cost(trials: int) -> float:
        rows, seconds = LongStory(trials).rows, []
        front = FrontFold()
        cut = len(rows) - 5 * 40
        for start, stop in ((0, cut), *((i, i + 40) for i in range(cut, len(rows), 40))):
            started = time.perf_counter()
            for row in rows[start:stop]:
                front.take(row)
            seconds.append(time.perf_counter() - started)
        return min(seconds[1:])

    assert cost(1000) < 4 * cost(100)
