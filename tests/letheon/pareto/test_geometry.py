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
POINTS = st.lists(st.tuples(COARSE, COARSE) | st.tuples(FINE, FINE), min_size=1, max_size=30).map(np.array)

Array = npt.NDArray[np.float64]


def hypervolume(points: npt.ArrayLike, reference: Point) -> float:
    return ParetoSet((x, y) for x, y in np.asarray(points).tolist()).hypervolume(reference)


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
    return one != other and one[0] >= other[0] and one[1] >= other[1]


@given(POINTS, st.tuples(COARSE, COARSE))
def test_the_hypervolume_is_moocores(points: Array, reference: tuple[float, float]) -> None:
    above = points[(points > reference).all(axis=1)]  # moocore agrees, but warns of points below the reference
    expected = moocore.hypervolume(above, ref=reference, maximise=True) if len(above) else 0.0
    assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(POINTS, st.permutations(range(30)))
def test_order_does_not_matter(points: Array, permutation: list[int]) -> None:
    order = [i for i in permutation if i < len(points)]
    np.testing.assert_array_equal(non_dominated(points[order]), non_dominated(points)[order])
    assert hypervolume(points[order], (-7, -7)) == pytest.approx(hypervolume(points, (-7, -7)))
    best, other = knee(points), knee(points[order])
    assert best is not None and other is not None
    assert tuple(points[best]) == tuple(points[order][other])


@given(POINTS, st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1, max_size=3))
def test_a_point_that_is_not_finite_changes_nothing(points: Array, broken: list[float]) -> None:
    more = np.vstack([points, [(value, 100.0) for value in broken], [(100.0, value) for value in broken]])
    mask = non_dominated(more)
    assert not mask[len(points) :].any()
    np.testing.assert_array_equal(mask[: len(points)], non_dominated(points))
    assert hypervolume(more, (-21, -21)) == hypervolume(points, (-21, -21))
    assert knee(more) == knee(points)


@given(POINTS)
def test_the_knee_is_on_the_front_whatever_the_units(points: Array) -> None:
    best = knee(points)
    assert best is not None
    assert non_dominated(points)[best]
    assert knee(points * [4.0, 0.5]) == best  # powers of two: nothing is rounded


def test_knees_by_hand() -> None:
    assert knee([]) is None
    assert knee([(math.nan, 1.0)]) is None
    assert knee([(3.0, 4.0)]) == 0
    assert knee([(0.0, 1.0), (0.8, 0.9), (1.0, 0.0)]) == 1
    assert knee([(1.0, 0.0), (1.0, 0.5), (1.0, 0.9)]) == 2  # vertical: one front point
    assert knee([(1.0, 0.9), (1.0, 0.9)]) == 0  # duplicates: the first


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
    with pytest.raises(ValueError, match=r"\(1, 3\).*must be \(n, 2\)"):
        non_dominated([(1.0, 2.0, 3.0)])
