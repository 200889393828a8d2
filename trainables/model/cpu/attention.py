"""Rotation (Su et al. 2021, arXiv 2104.09864) and causal attention of packed rows: softmax(q k / sqrt(size)) v by row.

Rows of similar length make a rectangle; heads of a rectangle are one batch of small matrix products. For rows as short
as answers to questions that is faster than kernels that never hold the weights of attention, and in bfloat16 by ten
times: their backward pass is not made for it on CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from trainables.batching.packing import Packing

LONGEST = 256
"""Tokens of a row up to which the weights of attention, (tokens, tokens) a head, are worth holding."""


@dataclass(frozen=True)
class Rectangles:
    """Where rows lie in rectangles. `groups`, `found`: a packing's own `groups` and `places`. `heads`: of queries;
    `shared`: heads that share keys and values.

    A place is a (token, head), numbered token first. All rectangles one after another hold (row, head, token) places.
    """

    groups: tuple[Tensor, ...]
    found: Tensor
    heads: int
    shared: int

    @classmethod
    def of(cls, packing: Packing, heads: int, shared: int) -> Rectangles:
        """One for all layers that a batch goes through."""
        kept: dict[Any, Rectangles] = packing.__dict__.setdefault("_rectangles", {})
        if (heads, shared) not in kept:
            # Not the packing itself: the two would hold each other, and stay until Python looks for such things.
            kept[heads, shared] = cls(packing.groups, packing.places, heads, shared)
        return kept[heads, shared]

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """(rows x heads, tokens) of each rectangle."""
        return [(len(numbers) * self.heads, numbers.shape[1]) for numbers in self.groups]

    @cached_property
    def queries(self) -> Tensor:
        """(places in rectangles,) int64: which query each is."""
        heads = torch.arange(self.heads)[None, :, None]
        return torch.cat([(numbers[:, None] * self.heads + heads).flatten() for numbers in self.groups])

    @cached_property
    def keys(self) -> Tensor:
        """(places in rectangles,) int64: which key, and which value, each is."""
        if self.shared == 1:
            return self.queries
        heads = (torch.arange(self.heads) // self.shared)[None, :, None]
        each = self.heads // self.shared
        return torch.cat([(numbers[:, None] * each + heads).flatten() for numbers in self.groups])

    @cached_property
    def places(self) -> Tensor:
        """(tokens x heads,) int64: where each place is found in the rectangles."""
        heads, flat, start = torch.arange(self.heads), self.found, 0
        found = torch.empty((len(flat), self.heads), dtype=torch.int64)
        for numbers in self.groups:
            rows, tokens = numbers.shape
            here = (flat >= start) & (flat < start + rows * tokens)
            row, token = (flat[here] - start) // tokens, (flat[here] - start) % tokens
            found[here] = (start + row * tokens)[:, None] * self.heads + heads * tokens + token[:, None]
            start += rows * tokens
        return found.flatten()

    @cached_property
    def padding(self) -> Tensor:
        """(padded places,) int64 in the rectangles: those that repeat a last token."""
        real = torch.zeros(len(self.queries), dtype=torch.bool)
        real[self.places] = True
        return (~real).nonzero().flatten()

    def batches(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """(places, size) each -> for every rectangle (rows x heads, tokens, size) each."""
        found, offset = [], 0
        for batch, tokens in self.shapes:
            part = slice(offset, offset + batch * tokens)
            found.append(tuple(tensor[part].view(batch, tokens, -1) for tensor in tensors))
            offset += batch * tokens
        return found


def attend(
    query: Tensor, key: Tensor, value: Tensor, angles: tuple[Tensor, Tensor], packing: Packing, scale: float
) -> Tensor:
    """(tokens, heads, size), twice (tokens, key heads, size), cosines and sines (tokens, size) -> like the queries.

    Queries and keys as they are before rotation. No row may be longer than `LONGEST`.
    """
    cosine, sine = angles
    half = cosine.shape[-1] // 2
    turn = torch.cat([-sine[:, :half], sine[:, half:]], -1)
    found: Tensor = _Attention.apply(query, key, value, cosine, turn, packing, scale)  # type: ignore[no-untyped-call]
    return found


def swapped(states: Tensor) -> Tensor:
    """The halves of the last dimension in the other order."""
    half = states.shape[-1] // 2
    return torch.cat([states[..., half:], states[..., :half]], -1)


class _Attention(torch.autograd.Function):
    """With s = q k', p = softmax(s), o = p v: dv = p' do, ds = p (do v' - sum(do v' p)), dq = ds k, dk = ds' q."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 (one argument a tensor, as autograd wants it)
        context: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cosine: Tensor,
        turn: Tensor,
        packing: Packing,
        scale: float,
    ) -> Tensor:
        tokens, heads, size = query.shape
        boxes = Rectangles.of(packing, heads, heads // key.shape[1])
        cosine, turn = cosine[:, None], turn[:, None]
        turned = [torch.addcmul(each * cosine, swapped(each), turn).view(-1, size) for each in (query, key)]
        queries = turned[0].index_select(0, boxes.queries)
        keys, values = (each.index_select(0, boxes.keys) for each in (turned[1], value.reshape(-1, size)))
        output, weights = torch.empty_like(queries), []
        for q, k, v, o in boxes.batches(queries, keys, values, output):
            weights.append(_weights(q, k, scale))
            torch.bmm(weights[-1], v, out=o)
        context.boxes, context.scale = boxes, scale
        context.save_for_backward(queries, keys, values, cosine, turn, *weights)
        return output.index_select(0, boxes.places).view(tokens, heads, size)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, cosine, turn, *weights = context.saved_tensors
        boxes, size = context.boxes, queries.shape[-1]
        outer = gradients[0].reshape(-1, size).index_select(0, boxes.queries).index_fill_(0, boxes.padding, 0.0)
        found = [torch.empty_like(outer) for _ in range(3)]
        parts = boxes.batches(queries, keys, values, outer, *found)
        for p, (q, k, v, do, dq, dk, dv) in zip(weights, parts, strict=True):
            torch.bmm(p.transpose(1, 2), do, out=dv)
            dp = torch.bmm(do, v.transpose(1, 2))
            ds = torch._softmax_backward_data(dp, p, -1, p.dtype).mul_(context.scale)
            torch.bmm(ds, k, out=dq)
            torch.bmm(ds.transpose(1, 2), q, out=dk)
        of_query, of_key, of_value = (each.index_select(0, boxes.places).view(-1, boxes.heads, size) for each in found)
        if boxes.shared > 1:
            of_key, of_value = (each.view(len(each), -1, boxes.shared, size).sum(2) for each in (of_key, of_value))
        of_query, of_key = (torch.addcmul(swapped(each * turn), each, cosine) for each in (of_query, of_key))
        return of_query, of_key, of_value, None, None, None, None


def _weights(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """(batch, tokens, size) twice -> (batch, tokens, tokens): how much each token sees of those up to itself."""
    tokens = query.shape[1]
    later = query.new_full((tokens, tokens), -torch.inf).triu_(1)
    seen = torch.baddbmm(later.expand(len(query), -1, -1), query, key.transpose(1, 2), alpha=scale)
    return torch.softmax(seen, -1, out=seen)
