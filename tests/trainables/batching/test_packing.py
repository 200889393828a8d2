"""Where rows lie in a packed batch: sizes, bounds and groups."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.batching.packing import Packing, group_by_length, pack, rounded_up


@given(size=st.integers(1, 1_000_000))
def test_rounded_sizes_are_few_and_at_most_an_eighth_larger(size: int) -> None:
    found = rounded_up(size)
    assert size <= found <= size * 9 / 8
    assert rounded_up(found) == found


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_bounds_are_the_starts_and_ends_of_rows(lengths: list[int]) -> None:
    packing = Packing.of(tuple(lengths), torch.device("cpu"))
    bounds = packing.bounds.tolist()
    assert [stop - start for start, stop in pairwise(bounds)][: len(lengths)] == lengths
    assert set(bounds[len(lengths) :]) == {sum(lengths)}
    assert packing.longest >= max(lengths)


@given(lengths=st.lists(st.integers(1, 300), max_size=60))
def test_groups_contain_every_row_once_and_little_padding(lengths: list[int]) -> None:
    groups = group_by_length(lengths)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert all(lengths[i] >= 0.8 * longest for i in group[4:])


def test_packing_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 rows cannot be packed"):
        pack([], "cpu")
