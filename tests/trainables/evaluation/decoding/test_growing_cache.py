"""The growing cache: what it shows is what rows and tokens say, whatever was appended and whichever rows were kept."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.decoding.growing_cache import GrowingLayer

HEADS, SIZE = 2, 3
STEPS = st.lists(st.one_of(st.integers(1, 90), st.lists(st.integers(0, 5), min_size=1, max_size=6)), max_size=6)


@given(STEPS, st.booleans())
def test_it_is_plain_concatenation_and_selection(steps: list[int | list[int]], in_order: bool) -> None:
    """A number appends so many tokens, a list keeps these rows (some of them, in order, or any)."""
    torch.manual_seed(0)
    expected = torch.randn(6, HEADS, 5, SIZE)
    layer = GrowingLayer(expected.clone(), -expected)
    for step in steps:
        if isinstance(step, int):
            new = torch.randn(len(expected), HEADS, step, SIZE)
            expected = torch.cat([expected, new], dim=-2)
            layer.update(new, -new)
        else:
            rows = [row % len(expected) for row in step]
            indices = torch.tensor(sorted(set(rows)) if in_order else rows)
            expected = expected[indices]
            layer.batch_select_indices(indices)
        assert layer.keys is not None and layer.values is not None
        assert torch.equal(layer.keys, expected) and torch.equal(layer.values, -expected)
