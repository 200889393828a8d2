"""The front as a fold of the rows: equal to `front_of` at every split, at a cost per row that does not grow."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

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
    Goals(z=Axis("loss", "min")),
    Goals(z=Axis("audit_worst_forget_rouge", "min")),
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


def test_a_row_costs_the_same_behind_a_long_journal() -> None:
    """Calls of functions for the last forty rows, behind 100 trials and behind 1,000."""

    def cost(trials: int) -> int:
        rows, front, calls = LongStory(trials).rows, FrontFold(), 0
        for row in rows[:-40]:
            front.take(row)

        def count(frame: FrameType, event: str, argument: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            for row in rows[-40:]:
                front.take(row)
        finally:
            sys.setprofile(None)
        return calls

    assert cost(1000) < 2 * cost(100)
