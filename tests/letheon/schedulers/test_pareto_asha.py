"""One rung's decision by Pareto rank: properties in any order and unit, and flaws of known implementations."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.geometry import Point
from letheon.pareto.sorting import by_spread
from letheon.schedulers import asha
from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Decision
from letheon.schedulers.pareto_asha import decide
from letheon.schedulers.rung import Place, Rung, Standing

GRID = st.integers(-4, 4).map(float)
FEASIBLE = st.builds(Standing, st.tuples(GRID, GRID))
INFEASIBLE = st.builds(Standing, st.tuples(GRID, GRID), st.sampled_from([0.1, 0.2, 0.2, 1.5]))
BROKEN = st.just(Standing((-math.inf, -math.inf), math.inf))
ANY = FEASIBLE | INFEASIBLE | BROKEN
RECORDS = st.lists(ANY, max_size=25)
ETAS = st.sampled_from([1.5, 2.0, 3.0, 4.0])


def rung(records: Iterable[Standing]) -> Rung:
    found = Rung()
    for record in records:
        found.add(record)
    return found


def verdict(records: Iterable[Standing], newcomer: Standing, eta: float = 3.0, least: int = 3) -> Decision:
    config = SchedulerConfig(max_epochs=9, reduction_factor=eta, min_rung_size=least)
    return decide(rung(records), newcomer, 3, 3, config)


def place(records: Iterable[Standing], newcomer: Standing) -> Place:
    return rung(records).place(newcomer)


def mapped(one: Standing, x: dict[float, float], y: dict[float, float]) -> Standing:
    return Standing((x[one.point[0]], y[one.point[1]]), one.violation) if one.violation < math.inf else one


def best_of(records: Iterable[Standing]) -> Standing:
    return Standing(tuple(map(max, zip(*(record.point for record in records if record.feasible), strict=True))))


@given(RECORDS, FEASIBLE, ETAS, st.integers(1, 5))
def test_a_feasible_newcomer_that_dominates_all_is_never_stopped(
    records: list[Standing], newcomer: Standing, eta: float, least: int
) -> None:
    best = best_of([newcomer, *records])
    found = verdict(records, best, eta, least)
    assert (found.action, found.rank, found.front) == ("continue", 1, 0)


@given(RECORDS.flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))), ANY, ETAS)
def test_order_does_not_matter(orders: tuple[list[Standing], list[Standing]], newcomer: Standing, eta: float) -> None:
    one, other = (verdict(order, newcomer, eta) for order in orders)
    assert one == other


@given(RECORDS, ANY)
def test_a_monotone_rescaling_changes_no_front(records: list[Standing], newcomer: Standing) -> None:
    curved = {float(i): math.exp(i) - 5 for i in range(-4, 5)}
    same = {float(i): float(i) for i in range(-4, 5)}
    here = place(records, newcomer)
    for x, y in ((curved, same), (same, curved), (curved, curved)):
        there = place([mapped(r, x, y) for r in records], mapped(newcomer, x, y))
        assert (there.front, there.of) == (here.front, here.of)


@given(RECORDS, ANY, st.sampled_from([0.125, 3.0, 1000.0]), st.sampled_from([0.25, 7.0, 100.0]))
def test_a_unit_changes_no_rank(records: list[Standing], newcomer: Standing, a: float, b: float) -> None:
    x, y = ({float(i): i * scale for i in range(-4, 5)} for scale in (a, b))
    assert place([mapped(r, x, y) for r in records], mapped(newcomer, x, y)) == place(records, newcomer)


@given(RECORDS, FEASIBLE, INFEASIBLE | BROKEN)
def test_infeasible_never_outranks_feasible(records: list[Standing], good: Standing, bad: Standing) -> None:
    feasible = sum(record.feasible for record in records)
    assert place(records, good).rank <= feasible + 1
    assert place([*records, good], bad).rank >= feasible + 2
    assert place(records, bad).front is None


@given(RECORDS, st.floats(0.01, 3), st.floats(0.01, 3))
def test_a_smaller_violation_ranks_better(records: list[Standing], a: float, b: float) -> None:
    small, large = (Standing((0.0, 0.0), violation) for violation in sorted((a, b)))
    assert place(records, small).rank <= place(records, large).rank
    if small != large:
        assert place([*records, small], large).rank > place([*records, large], small).rank


@given(st.lists(GRID, max_size=20), GRID, ETAS, st.integers(1, 4))
def test_with_one_objective_it_is_asha(values: list[float], value: float, eta: float, least: int) -> None:
    config = SchedulerConfig(max_epochs=9, reduction_factor=eta, min_rung_size=least)
    by_area = asha.decide(values, value, 3, 3, config)
    by_front = verdict([Standing((v, 1.0)) for v in values], Standing((value, 1.0)), eta, least)
    assert (by_front.action, by_front.rank, by_front.of) == (by_area.action, by_area.rank, by_area.of)


@given(RECORDS, ETAS, st.integers(1, 40))
def test_a_model_whose_metrics_are_not_finite_is_always_stopped(
    records: list[Standing], eta: float, least: int
) -> None:
    found = verdict(records, Standing((math.nan, -math.inf), math.inf), eta, least)
    assert (found.action, found.outcome) == ("stop", "collapsed")


def test_a_small_rung_stops_nobody() -> None:
    found = [verdict([Standing((9.0, 9.0))] * n, Standing((1.0, 1.0)), least=4).action for n in range(5)]
    assert found == ["continue"] * 3 + ["stop"] * 2


def test_ranks_are_not_an_argsort() -> None:
    """A dominated newcomer is judged by its own rank, wherever the better ones are in the list."""
    records = [Standing((3.0, 3.0)), Standing((0.0, 0.0)), Standing((2.0, 2.0)), Standing((1.0, 1.0))]
    assert place(records, Standing((1.5, 1.5))) == Place(rank=3, of=5, front=2)
    assert verdict(records, Standing((1.5, 1.5))).action == "stop"
    assert verdict(records, Standing((2.5, 2.5))).action == "continue"


def test_the_spread_is_an_order_not_its_inverse() -> None:
    stairs: list[Point] = [(0.0, 4.0), (1.0, 3.5), (2.0, 2.5), (4.0, 0.0)]
    order = by_spread(stairs, (4.0, 4.0))
    places = [order.index(point) for point in stairs]
    assert places != [
        stairs.index(point) for point in order
    ]  # the two differ here, so the next line distinguishes them
    ranks = [place([Standing(o) for o in stairs if o != p], Standing(p)).rank for p in stairs]
    assert ranks == [1 + i for i in places]


@given(RECORDS)
def test_nan_is_on_no_front(records: list[Standing]) -> None:
    assert place(records, Standing((math.nan, math.nan), math.inf)).front is None
    assert len(rung([Standing((math.nan, 1.0), math.inf)]).fronts) == 0
    with pytest.raises(ValueError, match="must be finite numbers"):
        Standing((math.nan, 1.0))
    with pytest.raises(ValueError, match="violation nan"):
        Standing((0.0, 1.0), math.nan)


SPACE = st.builds(Standing, st.tuples(GRID, GRID, GRID))
SPACE_RECORDS = st.lists(SPACE | st.builds(Standing, st.tuples(GRID, GRID, GRID), st.just(0.2)), max_size=20)


@given(SPACE_RECORDS.flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))), SPACE, ETAS)
def test_three_objectives_are_ranked_by_the_same_rules(
    orders: tuple[list[Standing], list[Standing]], newcomer: Standing, eta: float
) -> None:
    records, shuffled = orders
    found = place(records, newcomer)
    assert found == place(shuffled, newcomer)
    assert verdict(records, best_of([newcomer, *records]), eta).rank == 1
    dominating = sum(dominates(record, newcomer) for record in records)
    assert found.rank > dominating  # they lie on better fronts
    assert found.rank - 1 <= sum(record.feasible for record in records)
    assert (found.front == 0) == (dominating == 0)


def dominates(one: Standing, other: Standing) -> bool:
    no_worse = all(a >= b for a, b in zip(one.point, other.point, strict=True))
    return one.feasible and no_worse and one.point != other.point


@given(RECORDS, ANY, GRID)
def test_a_third_objective_without_differences_changes_no_rank(
    records: list[Standing], newcomer: Standing, third: float
) -> None:
    def raised(one: Standing) -> Standing:
        return Standing((*one.point, third), one.violation)

    assert place(map(raised, records), raised(newcomer)) == place(records, newcomer)
