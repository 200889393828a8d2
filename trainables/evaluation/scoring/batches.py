"""Splits items into batches of similar length and shares every batch among the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class QuestionShape(NamedTuple):
    """Tokens of a question's prompt and of its longest answer, and the number of its answers."""

    prompt: int
    answer: int
    answers: int


def rank_batches(lengths: Sequence[int], budget: int, rank: int = 0, size: int = 1) -> list[list[int]]:
    """Item numbers of this rank's batches, the longest first, so that running out of memory happens at once.

    A batch has at most `budget` tokens when padded to its longest item, and at least one item. Every rank gets as many
    batches, and as many items per batch, as the others: if items run out, the batch's longest item is repeated. So all
    ranks make the same number of forward passes, which sharded parameters (ZeRO-3) need.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return _split(order, lambda first, _, items: items * lengths[first] <= budget, rank, size)


def question_batches(shapes: Sequence[QuestionShape], budget: int, rank: int = 0, size: int = 1) -> list[list[int]]:
    """As `rank_batches`, for questions whose prompts are read once for all of their answers.

    A batch has at most `budget` tokens with prompts padded to the longest prompt and answers to the longest answer, or
    a single question.
    """
    order = sorted(range(len(shapes)), key=lambda i: (-shapes[i].answers, -shapes[i].answer, -shapes[i].prompt, i))
    prompt = answer = 0

    def fits(first: int, new: int, items: int) -> bool:
        nonlocal prompt, answer
        if first == new:
            prompt = answer = 0
        prompt, answer = max(prompt, shapes[new].prompt), max(answer, shapes[new].answer)
        return items * (prompt + shapes[first].answers * answer) <= budget

    return _split(order, fits, rank, size)


def _split(order: Sequence[int], fits: Callable[[int, int, int], bool], rank: int, size: int) -> list[list[int]]:
    """`fits(first, new, items)`: whether a batch from item `first` to item `new` may have `items` items. Called in
    order, batch by batch.
    """
    batches = []
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order):
            if not fits(order[start], order[stop], (stop - start) // size + 1) and stop >= start + size:
                break
            stop += 1
        batch = order[start:stop]
        mine = list(batch[rank::size])
        batches.append(mine + [batch[0]] * (-(-len(batch) // size) - len(mine)))
        start = stop
    return batches
