"""Row order and learning rate are pure functions, so all ranks agree without communication."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.batching.schedule import (
    epoch_steps,
    learning_rate,
    micro_batches,
    rows_at_a_time,
    shuffled,
)

rows = st.integers(1, 60)


@given(rows, rows, st.integers(1, 16), st.integers(0, 5), st.integers(1, 4))
def test_every_forget_row_occurs_once_per_epoch_with_as_many_retain_rows(
    forget: int, retain: int, batch: int, seed: int, epoch: int
) -> None:
    steps = epoch_steps(forget, retain, batch, seed, epoch)
    assert sorted(i for step in steps for i in step.forget) == list(range(forget))
    assert all(len(step.forget) == len(step.retain) for step in steps)
    drawn = [i for step in steps for i in step.retain]
    counts = [drawn.count(i) for i in range(retain)]
    assert max(counts) - min(counts) <= 1
    assert steps == epoch_steps(forget, retain, batch, seed, epoch)


def test_epochs_and_seeds_differ() -> None:
    orders = [shuffled(50, 8, seed, epoch) for seed in (0, 1) for epoch in (1, 2)]
    assert len({tuple(order) for order in orders}) == len(orders)


@given(st.lists(st.integers(), unique=True, max_size=40).map(tuple), st.integers(1, 4), st.integers(1, 8))
def test_ranks_share_the_rows_in_equally_many_micro_batches(drawn: tuple[int, ...], size: int, micro: int) -> None:
    parts = [micro_batches(drawn, rank, size, micro) for rank in range(size)]
    assert len({len(part) for part in parts}) == 1
    assert sorted(i for part in parts for batch in part for i in batch) == sorted(drawn)
    assert all(len(batch) <= micro for part in parts for batch in part)


@given(st.integers(1, 200), st.data())
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(total: int, data: st.DataObject) -> None:
    warmup = data.draw(st.integers(0, total))
    for decay in ("linear", "cosine"):
        rates = [learning_rate(step, total, warmup, 2.0, decay) for step in range(total + 1)]
        assert max(rates) <= 2.0
        assert rates[:warmup] == sorted(rates[:warmup])
        assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
        if warmup < total:
            assert rates[warmup] == pytest.approx(2.0)
            assert rates[total] == pytest.approx(0.0, abs=1e-12)


@given(tokens=st.lists(st.integers(1, 50), min_size=1, max_size=40), size=st.integers(1, 4), budget=st.integers(1, 500))
def test_rows_at_a_time_is_the_largest_size_within_the_budget(tokens: list[int], size: int, budget: int) -> None:
    def largest(micro: int) -> int:
        parts = (part for rank in range(size) for part in micro_batches(tuple(range(len(tokens))), rank, size, micro))
        return max(sum(tokens[i] for i in part) for part in parts)

    found = rows_at_a_time(tokens, size, budget)
    assert found == 1 or largest(found) <= budget
    per_worker = -(-len(tokens) // size)
    fewer_parts = -(-per_worker // found) - 1
    if fewer_parts:
        assert largest(-(-per_worker // fewer_parts)) > budget
