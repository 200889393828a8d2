"""The CPU's attention: values and gradients against the equations in float64, row by row, for all shapes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainables.batching.packing import Packing
from trainables.model.cpu.attention import Rectangles, attend

LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=12)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def results(function: Callable[..., Tensor], weights: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The value, and the gradient of its weighted sum by every input, in float64."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    value = function(*leaves)
    gradients = torch.autograd.grad((value * weights.to(value.dtype)).sum(), leaves)
    return [each.detach().double() for each in (value, *gradients)]


def assert_same(fast: Callable[..., Tensor], exact: Callable[..., Tensor], weights: Tensor, *inputs: Tensor) -> None:
    found = results(fast, weights, *inputs)
    expected = results(exact, weights, *(each.double() for each in inputs))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5)


def by_row(lengths: list[int], angles: tuple[Tensor, Tensor], scale: float) -> Callable[..., Tensor]:
    """Rotation by halves and causal softmax attention, one row and one head at a time."""

    def turned(states: Tensor) -> Tensor:
        half = states.shape[-1] // 2
        rotated = torch.cat([-states[..., half:], states[..., :half]], -1)
        cosine, sine = (each.to(states.dtype)[:, None] for each in angles)
        return states * cosine + rotated * sine

    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key = turned(query), turned(key)
        rows, start = [], 0
        for length in lengths:
            row, heads = slice(start, start + length), []
            for head in range(query.shape[1]):
                shared = head // (query.shape[1] // key.shape[1])
                seen = query[row, head] @ key[row, shared].T * scale
                later = torch.ones(length, length, dtype=torch.bool).triu(1)
                heads.append(seen.masked_fill(later, -torch.inf).softmax(-1) @ value[row, shared])
            rows.append(torch.stack(heads, 1))
            start += length
        return torch.cat(rows)

    return attention


@settings(max_examples=40)
@given(LENGTHS, st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]), st.sampled_from([2, 6]))
def test_attention_stays_within_each_row(lengths: list[int], heads: tuple[int, int], size: int) -> None:
    tokens, scale = sum(lengths), 0.7
    half = drawn(3, tokens, size // 2)
    angles = torch.cat([half, half], -1).cos(), torch.cat([half, half], -1).sin()
    packing = Packing.of(tuple(lengths), torch.device("cpu"))
    inputs = drawn(0, tokens, heads[0], size), drawn(1, tokens, heads[1], size), drawn(2, tokens, heads[1], size)
    assert_same(
        lambda query, key, value: attend(query, key, value, angles, packing, scale),
        by_row(lengths, angles, scale),
        drawn(4, tokens, heads[0], size),
        *inputs,
    )


@given(LENGTHS, st.sampled_from([(3, 1), (4, 2)]))
def test_places_and_rectangles_map_to_each_other(lengths: list[int], heads: tuple[int, int]) -> None:
    packing = Packing.of(tuple(lengths), torch.device("cpu"))
    rectangles = Rectangles.of(packing, *heads)
    assert rectangles is Rectangles.of(packing, *heads)
    assert rectangles.queries[rectangles.places].tolist() == list(range(sum(lengths) * heads[0]))
    assert sorted([*rectangles.places.tolist(), *rectangles.padding.tolist()]) == list(range(len(rectangles.queries)))
    assert sum(batch * tokens for batch, tokens in rectangles.shapes) == len(rectangles.queries)
