"""Rows of tokens as a tree: what several rows begin with is there once. Pure, on token ids.

Prompts that are asked again, answers that begin alike, examples in front of every question: a causal model says the
same of the same beginning, so nothing need be read twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Row: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """`ids`, `positions`: (tokens,) int64, of every token that is there. `paths`: for each row, in order, the numbers
    of its tokens. `branches`: (row, start): the row's tokens from `start` on are in no branch before; they are numbered
    one after another, and so are the branches.
    """

    ids: Numbers
    positions: Numbers
    paths: tuple[Numbers, ...]
    branches: tuple[tuple[int, int], ...]


def grow(rows: Sequence[Row]) -> Tree:
    """The tree of rows of one token at least. Sorted rows have most in common with the one before them."""
    paths: list[Numbers] = [np.empty(0, np.int64)] * len(rows)
    branches, ids, positions = [], list[int](), list[int]()
    before: Row = ()
    path = np.empty(0, np.int64)
    for i in sorted(range(len(rows)), key=lambda i: rows[i]):
        row, start = rows[i], common(before, rows[i])
        new = np.arange(len(ids), len(ids) + len(row) - start)
        before, path = row, np.concatenate([path[:start], new])
        paths[i] = path
        ids += row[start:]
        positions += range(start, len(row))
        if start < len(row):
            branches.append((i, start))
    return Tree(np.array(ids), np.array(positions), tuple(paths), tuple(branches))


def size(rows: Sequence[Row]) -> int:
    """How many tokens their tree has."""
    ordered = sorted(rows)
    return sum(len(row) - common(before, row) for before, row in zip([(), *ordered], ordered, strict=False))


def common(one: Row, other: Row) -> int:
    """How many tokens both begin with."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
