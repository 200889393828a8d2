"""Seeded draws that are the same on every Python: only `random.random()` is stable between versions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of random choices that depends only on its key."""

    def __init__(self, *key: str | int) -> None:
        self._random = random.Random("/".join(map(str, key))).random

    def below(self, n: int) -> int:
        """Uniform in 0..n-1."""
        return int(self._random() * n)

    def one(self, pool: Sequence[T]) -> T:
        return pool[self.below(len(pool))]

    def distinct(self, pool: Sequence[T], count: int) -> list[T]:
        """`count` different entries of `pool` in random order (the start of a Fisher-Yates shuffle)."""
        items = list(pool)
        for i in range(count):
            j = i + self.below(len(items) - i)
            items[i], items[j] = items[j], items[i]
        return items[:count]
