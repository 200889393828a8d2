"""Batches of a rank: nothing is lost, nothing is too big, and all ranks do the same number of items."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.scoring.batches import QuestionShape, question_batches, rank_batches

all_lengths = st.lists(st.integers(0, 90), max_size=60)


@given(all_lengths, st.integers(1, 300), st.integers(1, 4))
def test_every_item_is_in_a_batch_within_the_budget_and_in_step(lengths: list[int], budget: int, size: int) -> None:
    ranks = [rank_batches(lengths, budget, rank, size) for rank in range(size)]
    assert {i for batches in ranks for batch in batches for i in batch} == set(range(len(lengths)))
    assert len({tuple(len(batch) for batch in batches) for batches in ranks}) == 1
    for batch in (batch for batches in ranks for batch in batches):
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(all_lengths, st.integers(1, 300))
def test_one_rank_has_every_item_once(lengths: list[int], budget: int) -> None:
    items = [i for batch in rank_batches(lengths, budget) for i in batch]
    assert sorted(items) == list(range(len(lengths)))
    assert [lengths[i] for i in items] == sorted(lengths, reverse=True)


@given(all_lengths, st.integers(1, 300), st.integers(2, 4))
def test_at_most_one_item_per_rank_is_repeated_in_a_batch(lengths: list[int], budget: int, size: int) -> None:
    total = sum(len(batch) for rank in range(size) for batch in rank_batches(lengths, budget, rank, size))
    batches = len(rank_batches(lengths, budget, 0, size))
    assert total - len(lengths) <= batches * (size - 1)


all_shapes = st.lists(st.builds(QuestionShape, st.integers(1, 30), st.integers(1, 40), st.integers(1, 7)), max_size=60)


@given(all_shapes, st.integers(1, 600), st.integers(1, 4))
def test_questions_are_batched_with_all_their_answers(shapes: list[QuestionShape], budget: int, size: int) -> None:
    ranks = [question_batches(shapes, budget, rank, size) for rank in range(size)]
    items = [i for batches in ranks for batch in batches for i in batch]
    assert set(items) == set(range(len(shapes)))
    assert len(items) - len(shapes) <= len(ranks[0]) * (size - 1)
    assert len({tuple(len(batch) for batch in batches) for batches in ranks}) == 1
    for batch in (batch for batches in ranks for batch in batches):
        prompts = len(batch) * max(shapes[i].prompt for i in batch)
        answers = sum(shapes[i].answers for i in batch) * max(shapes[i].answer for i in batch)
        assert len(batch) == 1 or prompts + answers <= budget
