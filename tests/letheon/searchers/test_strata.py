"""The stratum with least comes first, one whose front moves gets more, and none starves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.searchers.strata import Share, next_stratum

TURNS = 200
NAMES = ("0.1", "0.2", "0.3")


def turns(gains: list[dict[str, float]]) -> Counter[str]:
    """How many turns each stratum gets; a turn costs 1, and turn i has the gains number i, cyclically."""
    cost: Counter[str] = Counter()
    earlier: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    for i in range(TURNS):
        name = next_stratum({each: Share(cost[each], earlier[each]) for each in NAMES}, window=20)
        cost[name] += 1
        if gain := gains[i % len(gains)].get(name, 0.0):
            earlier[name].append((cost[name], gain))
    return cost


def test_the_least_served_is_next_and_of_equals_the_first() -> None:
    assert next_stratum({"a": Share(3, ()), "b": Share(1, ()), "c": Share(2, ())}, 10) == "b"
    assert next_stratum({"a": Share(2, ()), "b": Share(2, ())}, 10) == "a"


def test_a_front_that_moves_gets_more() -> None:
    counts = turns([{"0.2": 0.1}])
    assert counts["0.2"] > counts["0.1"] + 50
    assert min(counts.values()) >= 30


def test_an_old_gain_is_discounted() -> None:
    assert Share(10, [(10, 0.4)]).pace(5) == 0.4
    assert Share(15, [(10, 0.4)]).pace(5) == 0.2
    assert next_stratum({"old": Share(400, [(1, 0.5)]), "new": Share(410, [(410, 0.1)])}, 10) == "new"


@settings(max_examples=20)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)), min_size=1, max_size=20))
def test_no_stratum_starves(gains: list[dict[str, float]]) -> None:
    # Each is entitled to a sixth; what others got before their pace fell leaves 22 of 200 in the worst case.
    counts = turns(gains)
    assert min(counts[name] for name in NAMES) >= 22
    assert counts == turns(gains)
