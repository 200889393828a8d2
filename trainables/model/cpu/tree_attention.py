"""Attention where rows share their beginnings: each branch of a tree of tokens sees its own path from the root.

Only for reading: there are no gradients. A branch's queries are its own tokens, its keys the whole path, both aligned
at their ends, so the causal mask is the same for all branches of a rectangle but for what is padded in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from trainables.batching.packing import group_by_length
from trainables.model.cpu.attention import swapped

LONGEST = 1024
"""Tokens of a path up to which the weights of attention are held."""

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


class Branches:
    """`paths`: the token numbers of each branch from its root on. `own`: how many of them, at the end, are its own.

    All tokens are some branch's own; branches are numbered, and own tokens within, in the order of the tokens.
    """

    def __init__(self, paths: Sequence[Numbers], own: Sequence[int]) -> None:
        self._paths, self._own = paths, own
        self._boxes: dict[tuple[int, int, torch.dtype], list[tuple[Tensor, Tensor, Tensor]]] = {}

    @cached_property
    def _groups(self) -> list[list[int]]:
        return group_by_length(self._own)

    @cached_property
    def places(self) -> Tensor:
        """(tokens,) int64: where each is in the rectangles, (branches, own tokens), one after another."""
        starts, offset = np.cumsum([0, *self._own]), 0
        found = np.empty(starts[-1], np.int64)
        for members in self._groups:
            width = max(self._own[i] for i in members)
            for i in members:
                offset += width
                found[starts[i] : starts[i] + self._own[i]] = np.arange(offset - self._own[i], offset)
        return torch.from_numpy(found)

    def boxes(self, heads: int, shared: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each rectangle: numbers of (token, head) places of queries, (branches x heads x own) int64, and of keys,
        (branches x heads x path); and (branches x heads, own, path): 0 where a token is seen, else -inf. One for all
        layers.
        """
        key = heads, shared, dtype
        if key not in self._boxes:
            self._boxes[key] = [self._box(members, heads, shared, dtype) for members in self._groups]
        return self._boxes[key]

    def _box(self, members: list[int], heads: int, shared: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        own, longest = max(self._own[i] for i in members), max(len(self._paths[i]) for i in members)
        queries = torch.from_numpy(np.stack([_fitted(self._paths[i], own) for i in members]))
        keys = torch.from_numpy(np.stack([_fitted(self._paths[i], longest) for i in members]))
        first = longest - torch.tensor([len(self._paths[i]) for i in members])
        step = torch.arange(longest)
        seen = (step >= first[:, None])[:, None] & (step <= torch.arange(own)[:, None] + longest - own)
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, -torch.inf)
        head = torch.arange(heads)[None, :, None]
        return (
            (queries[:, None] * heads + head).flatten(),
            (keys[:, None] * (heads // shared) + head // shared).flatten(),
            mask.repeat_interleave(heads, 0),
        )


def _fitted(path: Numbers, width: int) -> Numbers:
    """The last `width` of the path; a shorter one repeats its first token in front."""
    return path[len(path) - width :] if len(path) >= width else np.pad(path, (width - len(path), 0), "edge")


@torch.no_grad()
def attend_branches(
    query: Tensor, key: Tensor, value: Tensor, angles: tuple[Tensor, Tensor], branches: Branches, scale: float
) -> Tensor:
    """(tokens, heads, size), twice (tokens, key heads, size), cosines and sines (tokens, size) -> like the queries."""
    heads, size = query.shape[1:]
    cosine, sine = (each[:, None] for each in angles)
    half = size // 2
    turn = torch.cat([-sine[..., :half], sine[..., half:]], -1)
    queries, keys = (torch.addcmul(each * cosine, swapped(each), turn).view(-1, size) for each in (query, key))
    values, seen = value.reshape(-1, size), []
    for ours, theirs, mask in branches.boxes(heads, heads // key.shape[1], query.dtype):
        rows, own = mask.shape[:2]
        q, k, v = (
            states.index_select(0, numbers).view(rows, -1, size)
            for states, numbers in ((queries, ours), (keys, theirs), (values, theirs))
        )
        weights = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        seen.append(torch.bmm(weights, v).view(-1, heads, own, size).transpose(1, 2).reshape(-1, heads, size))
    return torch.cat(seen).index_select(0, branches.places)
