"""Pareto sets, hypervolumes and knees: against moocore, and by their definition where moocore has no equivalent."""

from __future__ import annotations

import math

import moocore
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.geometry import ParetoSet, Point, knee, non_dominated

COARSE = st.integers(-6, 6).map(float)  # many ties and duplicates
FINE = st.floats(-20, 5, allow_nan=False, allow_subnormal=False)
PLANE = st.lists(st.tuples(COARSE, COARSE) | st.tuples(FINE, FINE), min_size=1, max_size=30)
SPACE = st.lists(st.tuples(COARSE, COARSE, COARSE) | st.tuples(FINE, FINE, FINE), min_size=1, max_size=30)
POINTS = (PLANE | SPACE).map(np.array)

Array = npt.NDArray[np.float64]


def hypervolume(points: npt.ArrayLike, reference: Point) -> float:
    return ParetoSet(map(tuple, np.asarray(points).tolist())).hypervolume(reference)


@given(POINTS)
def test_the_front_is_moocores(points: Array) -> None:
    expected = moocore.is_nondominated(points, maximise=True, keep_weakly=True)
    np.testing.assert_array_equal(non_dominated(points), expected)


@given(POINTS.map(lambda points: list(map(tuple, points.tolist()))))
def test_a_pareto_set_is_its_definition_after_every_add(points: list[Point]) -> None:
    found = ParetoSet()
    for count, point in enumerate(points, start=1):
        before, dominated, covered = set(found), found.dominates(point), found.covers(point)
        replaced = found.add(point)
        assert list(found) == sorted({p for p in points[:count] if not any(beats(q, p) for q in points[:count])})
        assert dominated == any(beats(q, point) for q in points[:count])
        assert covered == (dominated or point in before)
        assert set(replaced) == before - set(found)
        assert len(found) == len(set(found)) and found == ParetoSet(points[:count])


def beats(one: Point, other: Point) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


@given(POINTS, st.tuples(COARSE, COARSE, COARSE))
def test_the_hypervolume_is_moocores(points: Array, corner: Point) -> None:
    reference = corner[: points.shape[1]]
    above = points[(points > reference).all(axis=1)]  # moocore agrees, but warns of points below the reference
    expected = moocore.hypervolume(above, ref=reference, maximise=True) if len(above) else 0.0
    assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(POINTS, st.permutations(range(30)))
def test_order_does_not_matter(points: Array, permutation: list[int]) -> None:
    order = [i for i in permutation if i < len(points)]
    np.testing.assert_array_equal(non_dominated(points[order]), non_dominated(points)[order])
    low = (-7.0,) * points.shape[1]
    assert hypervolume(points[order], low) == pytest.approx(hypervolume(points, low))
    best, other = knee(points), knee(points[order])
    assert best is not None and other is not None
    assert tuple(points[best]) == tuple(points[order][other])


@given(POINTS, st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1, max_size=3))
def test_a_point_that_is_not_finite_changes_nothing(points: Array, broken: list[float]) -> None:
    rest, low = (100.0,) * (points.shape[1] - 1), (-21.0,) * points.shape[1]
    more = np.vstack([points, [(value, *rest) for value in broken], [(*rest, value) for value in broken]])
    mask = non_dominated(more)
    assert not mask[len(points) :].any()
    np.testing.assert_array_equal(mask[: len(points)], non_dominated(points))
    assert hypervolume(more, low) == hypervolume(points, low)
    assert knee(more) == knee(points)


@given(PLANE, st.sampled_from([-1.0, 0.0, 3.5]))
def test_an_objective_with_one_value_changes_nothing(plane: list[Point], third: float) -> None:
    points, space = np.array(plane), np.array([(*point, third) for point in plane])
    np.testing.assert_array_equal(non_dominated(space), non_dominated(points))
    assert hypervolume(space, (-21.0, -21.0, third - 1.0)) == hypervolume(points, (-21.0, -21.0))
    assert knee(space) == knee(points)


@given(POINTS)
def test_the_knee_is_on_the_front_whatever_the_units(points: Array) -> None:
    best = knee(points)
    assert best is not None
    assert non_dominated(points)[best]
    assert knee(points * [4.0, 0.5, 2.0][: points.shape[1]]) == best  # powers of two: nothing is rounded


def test_knees_by_hand() -> None:
    assert knee([]) is None
    assert knee([(math.nan, 1.0)]) is None
    assert knee([(3.0, 4.0)]) == 0
    assert knee([(0.0, 1.0), (0.8, 0.9), (1.0, 0.0)]) == 1
    assert knee([(1.0, 0.0), (1.0, 0.5), (1.0, 0.9)]) == 2  # vertical: one front point
    assert knee([(1.0, 0.9), (1.0, 0.9)]) == 0  # duplicates: the first


def test_the_knee_of_three_objectives_is_a_compromise_of_all() -> None:
    assert knee([(1.0, 0.9, 0.0), (0.7, 0.7, 0.7), (0.0, 0.0, 1.0)]) == 1
    box = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    equal = [(0.9, 0.6, 0.3), (0.6, 0.6, 0.6), (0.6, 0.9, 0.3)]
    assert knee(equal, *box) == 1  # of equal sums the largest volume
    assert knee([equal[0], equal[2]], *box) == 1  # of equal volumes the higher second


def test_a_further_end_of_the_front_does_not_move_the_knee() -> None:
    box = ((-20.0, 0.75), (0.0, 0.95))
    front = [(-15.0, 0.944), (-0.4, 0.83), (-0.3, 0.82)]
    assert knee(front, *box) == 1
    assert knee([*front, (-17.0, 0.9495)], *box) == 1
    assert knee([*front, (-17.0, 0.9495)]) == 0  # without the box it does


def test_ties_go_to_the_larger_area_and_then_to_the_higher_utility() -> None:
    two = [(-19.0, 0.60), (-0.5, 0.55)]
    assert knee(two, reference=(-20.0, 0.48)) == 1  # gains 1 x 0.12 against 19.5 x 0.07
    assert knee(two) == 0  # without a reference: the higher utility
    straight = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    assert knee(straight) == 1
    sagging = [(0.0, 1.0), (0.2, 0.1), (1.0, 0.0)]  # its middle is the worst compromise, not a knee
    assert knee(sagging) == 0


def test_the_shape_of_points_is_checked() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4\).*must be \(n, 2\) or \(n, 3\)"):
        non_dominated([(1.0, 2.0, 3.0, 4.0)])
