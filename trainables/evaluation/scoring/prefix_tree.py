"""Rows of token ids as a tree in which every shared prefix is stored once. Pure.

A causal model computes the same for the same prefix, so repeated prompts, answers that begin alike and few-shot
examples need only be read once.
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
    """`ids`, `positions`: (tokens,) int64 of every node. `paths`: for each row, in order, the numbers of its nodes.
    `branches`: (row, start): the row's tokens from `start` on are in no earlier branch. The nodes of a branch are
    numbered consecutively, branch after branch.
    """

    ids: Numbers
    positions: Numbers
    paths: tuple[Numbers, ...]
    branches: tuple[tuple[int, int], ...]


def build_tree(rows: Sequence[Row]) -> Tree:
    """The tree of non-empty rows. In sorted order each row shares its longest prefix with the row before."""
    paths: list[Numbers] = [np.empty(0, np.int64)] * len(rows)
    branches, ids, positions = [], list[int](), list[int]()
    before: Row = ()
    path = np.empty(0, np.int64)
    for i in sorted(range(len(rows)), key=lambda i: rows[i]):
        row, start = rows[i], common_prefix(before, rows[i])
        new = np.arange(len(ids), len(ids) + len(row) - start)
        before, path = row, np.concatenate([path[:start], new])
        paths[i] = path
        ids += row[start:]
        positions += range(start, len(row))
        if start < len(row):
            branches.append((i, start))
    return Tree(np.array(ids), np.array(positions), tuple(paths), tuple(branches))


def tree_size(rows: Sequence[Row]) -> int:
    """Number of tokens in the tree of the rows."""
    ordered = sorted(rows)
    return sum(len(row) - common_prefix(before, row) for before, row in zip([(), *ordered], ordered, strict=False))


def common_prefix(one: Row, other: Row) -> int:
    """Length of the common prefix, tokens."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
