"""An alias never moves to a worse checkpoint, nor to one of other data, when a second sweep registers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.tracking.aliases import alias_move

RULES = st.sampled_from(["knee", "max-utility", "max-forget"])
POINTS = st.fixed_dictionaries(
    {
        "letheon.verdict": st.sampled_from(["forgotten", "not forgotten", "over-forgotten"]),
        "letheon.height_x": st.sampled_from(["-3", "-0.5", "0"]),
        "letheon.height_y": st.sampled_from(["0.5", "0.9"]),
    }
)


def of(sweep: str, verdict: str = "forgotten", x: float = -0.1, y: float = 0.9, rows: str = "") -> dict[str, str]:
    more = {"letheon.forget_digest": rows} if rows else {}
    return more | {
        "letheon.sweep_run": sweep,
        "letheon.sweep": sweep,
        "letheon.trial": "t001",
        "letheon.epoch": "2",
        "letheon.verdict": verdict,
        "letheon.height_x": str(x),
        "letheon.height_y": str(y),
    }


@pytest.mark.parametrize(
    ("rule", "old", "new", "what"),
    [
        ("knee", None, of("b"), "set"),
        ("knee", of("a"), of("a", y=0.1), "moved"),  # its own
        ("knee", of("a"), of("b", "not forgotten", x=0.0, y=1.0), "worse"),
        ("knee", of("a", "not forgotten", y=1.0), of("b"), "moved"),
        ("knee", of("a", y=0.9), of("b", y=0.95), "moved"),
        ("knee", of("a", y=0.9), of("b", y=0.9), "worse"),  # equal: it stays
        ("knee", of("a", "not forgotten", x=-9), of("b", "not forgotten", x=-2, y=0.8), "moved"),
        ("knee", {**of("a"), "letheon.height_z": "-0.5"}, {**of("b"), "letheon.height_z": "-0.3"}, "moved"),
        ("knee", {**of("a"), "letheon.height_z": "-0.3"}, {**of("b"), "letheon.height_z": "-0.5"}, "worse"),
        ("max-forget", of("a", x=-0.3), of("b", x=-0.2, y=0.1), "moved"),
        ("max-utility", of("a", y=0.9), of("b", x=-9, y=0.91), "moved"),
        ("knee", {"letheon.sweep_run": "old"}, of("b", "not forgotten"), "moved"),  # from before there were verdicts
        ("knee", of("a", rows="1"), of("b", y=1.0, rows="2"), "other data"),
    ],
)
def test_moves(rule: str, old: dict[str, str] | None, new: dict[str, str], what: str) -> None:
    assert alias_move(rule, old, new) == what


@given(RULES, POINTS, POINTS)
def test_it_never_moves_there_and_back(rule: str, one: dict[str, str], other: dict[str, str]) -> None:
    a, b = {**one, "letheon.sweep_run": "a"}, {**other, "letheon.sweep_run": "b"}
    assert (alias_move(rule, a, b), alias_move(rule, b, a)) != ("moved", "moved")
