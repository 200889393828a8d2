"""Deals items out to ranks in batches of similar length. Knows lengths, not what the items are."""

from __future__ import annotations

from collections.abc import Sequence


def deal(lengths: Sequence[int], budget: int, rank: int = 0, size: int = 1) -> list[list[int]]:
    """Item numbers of this rank's batches, the longest first, so that what does not fit in memory fails at once.

    A batch has at most `budget` tokens when padded to its longest item, and at least one item. Every rank gets
    equally many batches and, batch by batch, equally many items: where they run out, the longest of the batch is dealt
    again. So all ranks make the same number of forward passes, which sharded parameters (ZeRO-3) need.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches = []
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        dealt = order[start : start + rows * size]
        each = -(-len(dealt) // size)
        mine = dealt[rank::size]
        batches.append(mine + [dealt[0]] * (each - len(mine)))
        start += len(dealt)
    return batches
