"""Folds of the journal against the whole journal: equal at every split, and no dearer when the journal is long."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.journal import Folded, encode_rows
from letheon.pareto.front import front_of
from letheon.pareto.incremental import FrontFold
from letheon.pareto.objectives import Axis, Goals, Limit
from tests.letheon.dashboard.support import LongStory
from tests.letheon.monitor.stories import Rows, tales

GOALS = (
    Goals(),
    Goals(limits=(Limit("loss", high=0.5),)),
    Goals(limits=(Limit("audit_worst_forget_rouge", high=0.5),)),
    Goals(x=Axis("loss", "min"), y=Axis("model_utility", "max", ratio="utility_ratio"), floor=0.5),
    Goals(x=Axis("audit_worst_forget_rouge", "min")),
)


def same(left: object, right: object) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(left) == repr(right)


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
        assert folded.current().seen == Counter(row["seq"] for row in rows[:cut])


class Counted:
    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()

    def take(self, row: dict[str, Any]) -> None:
        self.seen[row["seq"]] += 1


def test_a_fold_begins_anew_with_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    rows = LongStory(3).rows
    folded = Folded(path, Counted)
    assert folded.current().seen == Counter()
    path.write_bytes(encode_rows(rows))
    assert folded.current().seen.total() == len(rows)
    path.unlink()
    assert folded.current().seen == Counter()
    path.write_bytes(encode_rows(rows[:2]))
    assert folded.current().seen == Counter([1, 2])


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
