"""Deals items out to ranks in batches of similar size. Knows sizes, not what the items are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Shape(NamedTuple):
    """A question: tokens of its prompt, tokens of its longest answer, number of its answers."""

    prompt: int
    answer: int
    answers: int


def deal(lengths: Sequence[int], budget: int, rank: int = 0, size: int = 1) -> list[list[int]]:
    """Item numbers of this rank's batches, the longest first, so that what does not fit in memory fails at once.

    A batch has at most `budget` tokens when padded to its longest item, and at least one item. Every rank gets
    equally many batches and, batch by batch, equally many items: where they run out, the longest of the batch is dealt
    again. So all ranks make the same number of forward passes, which sharded parameters (ZeRO-3) need.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return _deal(order, lambda first, _, items: items * lengths[first] <= budget, rank, size)


def deal_questions(shapes: Sequence[Shape], budget: int, rank: int = 0, size: int = 1) -> list[list[int]]:
    """The same for questions whose prompts are read once for all their answers: numbers of this rank's batches.

    A batch has at most `budget` tokens with its prompts padded to the longest prompt, and the answers to the longest
    answer, or one question.
    """
    order = sorted(range(len(shapes)), key=lambda i: (-shapes[i].answers, -shapes[i].answer, -shapes[i].prompt, i))
    prompt = answer = 0

    def fits(first: int, new: int, items: int) -> bool:
        nonlocal prompt, answer
        if first == new:
            prompt = answer = 0
        prompt, answer = max(prompt, shapes[new].prompt), max(answer, shapes[new].answer)
        return items * (prompt + shapes[first].answers * answer) <= budget

    return _deal(order, fits, rank, size)


def _deal(order: Sequence[int], fits: Callable[[int, int, int], bool], rank: int, size: int) -> list[list[int]]:
    """`fits(first, new, items)`: whether a batch that begins with item `first` may have `items` items, `new` the last.
    Asked in order, batch by batch.
    """
    batches = []
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order):
            if not fits(order[start], order[stop], (stop - start) // size + 1) and stop >= start + size:
                break
            stop += 1
        dealt = order[start:stop]
        each = -(-len(dealt) // size)
        mine = list(dealt[rank::size])
        batches.append(mine + [dealt[0]] * (each - len(mine)))
        start = stop
    return batches
