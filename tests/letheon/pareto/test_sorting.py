"""Fronts that grow point by point equal those of brute-force sorting; the spread inside one orders its points."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.geometry import PLANE, ParetoSet, Point
from letheon.pareto.sorting import Fronts, by_spread

GRID = st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float))
FLOATS = st.tuples(st.floats(-10, 10), st.floats(-10, 10))
SMALL = st.integers(0, 3).map(float)
SPACE = st.tuples(SMALL, SMALL, SMALL) | st.tuples(*[st.floats(-10, 10)] * 3)
POINTS = (
    st.lists(GRID, max_size=40)
    | st.lists(FLOATS, max_size=25)
    | st.lists(GRID | FLOATS, max_size=25)
    | st.lists(SPACE, max_size=25)
)
FRONTS = (st.lists(GRID | FLOATS, min_size=1, max_size=20) | st.lists(SPACE, min_size=1, max_size=20)).map(
    lambda points: list(ParetoSet(points))
)
SPANS = st.tuples(*[st.floats(0.1, 20)] * 3)


def dominates(one: Point, other: Point) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


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


@given(POINTS.filter(bool), st.data())
def test_the_front_of_a_newcomer_is_the_one_it_would_be_on(points: list[Point], data: st.DataObject) -> None:
    newcomer = data.draw(SPACE if len(points[0]) > PLANE else GRID | FLOATS)
    fronts, after = Fronts(points), peeled([*points, newcomer])
    index = next(i for i, front in enumerate(after) if newcomer in front)
    assert fronts.front_of(newcomer) == index
    assert fronts.layer_with(newcomer) == after[index]
    assert layers(fronts) == peeled(points)  # unchanged


def test_the_first_newcomer_is_on_the_first_front() -> None:
    assert Fronts().front_of((1.0, 2.0)) == 0
    assert Fronts().layer_with((1.0, 2.0, 3.0)) == [(1.0, 2.0, 3.0)]


@given(FRONTS, SPANS)
def test_spread_is_a_permutation_that_begins_with_the_best_compromise(front: list[Point], spans: Point) -> None:
    spans = spans[: len(front[0])]
    order = by_spread(front, spans)
    assert sorted(order) == front
    assert compromise(order[0], spans) >= max(compromise(point, spans) for point in front) - 1e-9


def compromise(point: Point, spans: Point) -> float:
    return sum(value / span for value, span in zip(point, spans, strict=True))


@given(FRONTS.flatmap(lambda front: st.tuples(st.just(front), st.permutations(front))))
def test_spread_depends_on_the_points_alone(orders: tuple[list[Point], list[Point]]) -> None:
    one, other = orders
    spans = (5.0,) * len(one[0])
    assert by_spread(one, spans) == by_spread(other, spans)


def test_the_farthest_point_is_next_and_ties_go_to_the_higher_y() -> None:
    stairs = [(0.0, 4.0), (1.0, 3.5), (2.0, 2.5), (4.0, 0.0)]
    assert by_spread(stairs, (4.0, 4.0)) == [(1.0, 3.5), (4.0, 0.0), (2.0, 2.5), (0.0, 4.0)]
    line = [(0.0, 2.0), (1.0, 1.0), (2.0, 0.0)]
    assert by_spread(line, (1.0, 1.0)) == [(0.0, 2.0), (2.0, 0.0), (1.0, 1.0)]


def test_a_span_of_zero_is_no_error() -> None:
    assert by_spread([(1.0, 1.0)], (0.0, 0.0)) == [(1.0, 1.0)]
