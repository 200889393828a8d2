"""Fronts that grow point by point equal those of brute-force sorting; the spread inside one orders its points."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.geometry import ParetoSet, Point
from letheon.pareto.sorting import Fronts, by_spread

GRID = st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float))
FLOATS = st.tuples(st.floats(-10, 10), st.floats(-10, 10))
POINTS = st.lists(GRID, max_size=40) | st.lists(FLOATS, max_size=25) | st.lists(GRID | FLOATS, max_size=25)
STAIRS = st.lists(GRID | FLOATS, min_size=1, max_size=20).map(lambda points: list(ParetoSet(points)))


def dominates(one: Point, other: Point) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


def peeled(points: Sequence[Point]) -> list[list[Point]]:
    """Front by front, what nothing left dominates, each distinct point once, by rising x."""
    left, found = set(points), []
    while left:
        front = {point for point in left if not any(dominates(other, point) for other in left)}
        found.append(sorted(front))
        left -= front
    return found


def layers(fronts: Fronts) -> list[list[Point]]:
    return [list(layer) for layer in fronts.layers]


@given(POINTS)
def test_fronts_are_those_of_brute_force_after_every_add(points: list[Point]) -> None:
    fronts = Fronts()
    for count, point in enumerate(points, start=1):
        fronts.add(point)
        assert len(fronts) == count
        assert layers(fronts) == peeled(points[:count])


@given(POINTS)
def test_count_before_counts_all_points_before_a_front(points: list[Point]) -> None:
    fronts, expected = Fronts(points), 0
    for index, stairs in enumerate(peeled(points)):
        assert fronts.count_before(index) == expected
        expected += sum(map(points.count, stairs))
    assert fronts.count_before(len(fronts.layers)) == len(points)
    assert all(fronts.count(point) == points.count(point) for point in points)


@given(POINTS, GRID | FLOATS)
def test_the_front_of_a_newcomer_is_the_one_it_would_be_on(points: list[Point], newcomer: Point) -> None:
    fronts, after = Fronts(points), peeled([*points, newcomer])
    index = next(i for i, stairs in enumerate(after) if newcomer in stairs)
    assert fronts.front_of(newcomer) == index
    assert fronts.layer_with(newcomer) == after[index]
    assert layers(fronts) == peeled(points)  # unchanged


@given(STAIRS, st.tuples(st.floats(0.1, 20), st.floats(0.1, 20)))
def test_spread_is_a_permutation_that_begins_with_the_best_compromise(stairs: list[Point], spans: Point) -> None:
    order = by_spread(stairs, spans)
    assert sorted(order) == stairs
    sums = [x / spans[0] + y / spans[1] for x, y in stairs]
    assert order[0][0] / spans[0] + order[0][1] / spans[1] >= max(sums) - 1e-9


@given(STAIRS.flatmap(lambda stairs: st.tuples(st.just(stairs), st.permutations(stairs))))
def test_spread_depends_on_the_points_alone(orders: tuple[list[Point], list[Point]]) -> None:
    one, other = orders
    assert by_spread(one, (5.0, 5.0)) == by_spread(other, (5.0, 5.0))


def test_the_farthest_point_is_next_and_ties_go_to_the_higher_y() -> None:
    stairs = [(0.0, 4.0), (1.0, 3.5), (2.0, 2.5), (4.0, 0.0)]
    assert by_spread(stairs, (4.0, 4.0)) == [(1.0, 3.5), (4.0, 0.0), (2.0, 2.5), (0.0, 4.0)]
    line = [(0.0, 2.0), (1.0, 1.0), (2.0, 0.0)]
    assert by_spread(line, (1.0, 1.0)) == [(0.0, 2.0), (2.0, 0.0), (1.0, 1.0)]


def test_a_span_of_zero_is_no_error() -> None:
    assert by_spread([(1.0, 1.0)], (0.0, 0.0)) == [(1.0, 1.0)]
