"""Attention over a tree of tokens, for rows with shared prefixes: each branch sees its own path from the root.

Without gradients. A branch's queries are its own tokens and its keys the whole path, both aligned at their ends, so the
branches of a rectangle share a causal mask except for the padding in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainables.batching.packing import Numbers, group_by_length
from trainables.model.cpu.attention import per_head, rotated

LONGEST_PATH = 1024
"""Most tokens of a path for which attention weights are stored."""


class Branches:
    """`paths`: the token indices of each branch from the root. `own`: how many of them, at the end, are its own.

    Every token belongs to exactly one branch; branches, and the tokens within them, are in the order of the tokens.
    """

    def __init__(self, paths: Sequence[Numbers], own: Sequence[int]) -> None:
        self._paths, self._own = paths, own
        self._rectangles: dict[tuple[int, int, torch.dtype], list[tuple[Tensor, Tensor, Tensor]]] = {}

    @cached_property
    def _groups(self) -> list[list[int]]:
        return group_by_length(self._own)

    @cached_property
    def places(self) -> Tensor:
        """(tokens,) int64: the index of each token in the concatenated rectangles of (branches, own tokens)."""
        starts, offset = np.cumsum([0, *self._own]), 0
        found = np.empty(starts[-1], np.int64)
        for members in self._groups:
            width = max(self._own[i] for i in members)
            for i in members:
                offset += width
                found[starts[i] : starts[i] + self._own[i]] = np.arange(offset - self._own[i], offset)
        return torch.from_numpy(found)

    def rectangles(self, heads: int, shared: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per rectangle, cached for all layers: indices of the (token, head) places of queries, (branches x heads x
        own) int64, and of keys, (branches x heads x path); and the mask (branches x heads, own, path), 0 or -inf.
        """
        key = heads, shared, dtype
        if key not in self._rectangles:
            self._rectangles[key] = [self._rectangle(members, heads, shared, dtype) for members in self._groups]
        return self._rectangles[key]

    def _rectangle(
        self, members: list[int], heads: int, shared: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        own, longest = max(self._own[i] for i in members), max(len(self._paths[i]) for i in members)
        queries = torch.from_numpy(np.stack([_fitted(self._paths[i], own) for i in members]))
        keys = torch.from_numpy(np.stack([_fitted(self._paths[i], longest) for i in members]))
        first = longest - torch.tensor([len(self._paths[i]) for i in members])
        step = torch.arange(longest)
        visible = (step >= first[:, None])[:, None] & (step <= torch.arange(own)[:, None] + longest - own)
        mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -torch.inf)
        head = torch.arange(heads)[None, :, None]
        return (
            (queries[:, None] * heads + head).flatten(),
            (keys[:, None] * (heads // shared) + head // shared).flatten(),
            mask.repeat_interleave(heads, 0),
        )


def _fitted(path: Numbers, width: int) -> Numbers:
    """The last `width` tokens of the path, padded in front with its first token."""
    return path[len(path) - width :] if len(path) >= width else np.pad(path, (width - len(path), 0), "edge")


@torch.no_grad()
def attend_branches(
    query: Tensor, key: Tensor, value: Tensor, angles: tuple[Tensor, Tensor], branches: Branches, scale: float
) -> Tensor:
    """Query (tokens, heads, size), key and value (tokens, key heads, size), before rotation; `angles`: cosines and
    sines (tokens, size). Returns (tokens, heads, size).
    """
    heads, size = query.shape[1:]
    factors, shared = per_head(angles), heads // key.shape[1]
    queries, keys = (rotated(each, *factors).view(-1, size) for each in (query, key))
    values, outputs = value.reshape(-1, size), []
    for query_places, key_places, mask in branches.rectangles(heads, shared, query.dtype):
        rows, own = mask.shape[:2]
        q, k, v = (
            states.index_select(0, places).view(rows, -1, size)
            for states, places in ((queries, query_places), (keys, key_places), (values, key_places))
        )
        weights = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        outputs.append(torch.bmm(weights, v).view(-1, heads, own, size).transpose(1, 2).reshape(-1, heads, size))
    return torch.cat(outputs).index_select(0, branches.places)
