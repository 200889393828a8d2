"""Dealing: nothing is lost, nothing too big, and all ranks do equally much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.scoring.batches import QuestionShape, question_batches, rank_batches

all_lengths = st.lists(st.integers(0, 90), max_size=60)


@given(all_lengths, st.integers(1, 300), st.integers(1, 4))
def test_every_item_is_dealt_within_the_budget_and_in_step(lengths: list[int], budget: int, size: int) -> None:
    hands = [rank_batches(lengths, budget, rank, size) for rank in range(size)]
    assert {i for hand in hands for batch in hand for i in batch} == set(range(len(lengths)))
    assert len({tuple(len(batch) for batch in hand) for hand in hands}) == 1
    for batch in (batch for hand in hands for batch in hand):
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(all_lengths, st.integers(1, 300))
def test_alone_every_item_is_dealt_once(lengths: list[int], budget: int) -> None:
    dealt = [i for batch in rank_batches(lengths, budget) for i in batch]
    assert sorted(dealt) == list(range(len(lengths)))
    assert [lengths[i] for i in dealt] == sorted(lengths, reverse=True)


@given(all_lengths, st.integers(1, 300), st.integers(2, 4))
def test_at_most_one_item_a_rank_is_dealt_twice_in_a_batch(lengths: list[int], budget: int, size: int) -> None:
    total = sum(len(batch) for rank in range(size) for batch in rank_batches(lengths, budget, rank, size))
    batches = len(rank_batches(lengths, budget, 0, size))
    assert total - len(lengths) <= batches * (size - 1)


all_shapes = st.lists(st.builds(QuestionShape, st.integers(1, 30), st.integers(1, 40), st.integers(1, 7)), max_size=60)


@given(all_shapes, st.integers(1, 600), st.integers(1, 4))
def test_questions_are_dealt_with_all_their_answers(shapes: list[QuestionShape], budget: int, size: int) -> None:
    hands = [question_batches(shapes, budget, rank, size) for rank in range(size)]
    dealt = [i for hand in hands for batch in hand for i in batch]
    assert set(dealt) == set(range(len(shapes)))
    assert len(dealt) - len(shapes) <= len(hands[0]) * (size - 1)
    assert len({tuple(len(batch) for batch in hand) for hand in hands}) == 1
    for batch in (batch for hand in hands for batch in hand):
        prompts = len(batch) * max(shapes[i].prompt for i in batch)
        answers = sum(shapes[i].answers for i in batch) * max(shapes[i].answer for i in batch)
        assert len(batch) == 1 or prompts + answers <= budget
