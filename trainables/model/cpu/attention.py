"""Rotary positions (Su et al. 2021, arXiv 2104.09864) and causal attention, softmax(q k' scale) v, within packed rows.

Rows of similar length form a rectangle, and all its heads are one batch of small matrix products. For rows as short as
question-answer pairs this is faster than kernels that never store attention weights; ten times in bfloat16, for which
their backward pass is not optimised on CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from trainables.batching.packing import Packing

LONGEST_ROW = 256
"""Most tokens of a row for which storing the attention weights, (tokens, tokens) per head, is worth it."""


@dataclass(frozen=True)
class Rectangles:
    """Index tensors that move (token, head) places of packed rows into rectangles and back.

    `groups`, `token_places`: the packing's `groups` and `places`. `heads`: query heads; `shared`: query heads per key
    head. Place number = token * heads + head. The rectangles, concatenated, hold places in (row, head, token) order.
    """

    groups: tuple[Tensor, ...]
    token_places: Tensor
    heads: int
    shared: int

    @classmethod
    def of(cls, packing: Packing, heads: int, shared: int) -> Rectangles:
        """The packing's rectangles, cached on it because all layers use them."""
        cached: dict[Any, Rectangles] = packing.__dict__.setdefault("_rectangles", {})
        if (heads, shared) not in cached:
            # No reference to the packing itself: a cycle would keep both alive until the next garbage collection.
            cached[heads, shared] = cls(packing.groups, packing.places, heads, shared)
        return cached[heads, shared]

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """(rows x heads, tokens) of each rectangle."""
        return [(len(tokens) * self.heads, tokens.shape[1]) for tokens in self.groups]

    @cached_property
    def queries(self) -> Tensor:
        """(places in rectangles,) int64: the query at each."""
        heads = torch.arange(self.heads)[None, :, None]
        return torch.cat([(tokens[:, None] * self.heads + heads).flatten() for tokens in self.groups])

    @cached_property
    def keys(self) -> Tensor:
        """(places in rectangles,) int64: the key, and value, at each."""
        if self.shared == 1:
            return self.queries
        heads = (torch.arange(self.heads) // self.shared)[None, :, None]
        key_heads = self.heads // self.shared
        return torch.cat([(tokens[:, None] * key_heads + heads).flatten() for tokens in self.groups])

    @cached_property
    def places(self) -> Tensor:
        """(tokens x heads,) int64: the index of each place in the concatenated rectangles."""
        heads, flat, start = torch.arange(self.heads), self.token_places, 0
        found = torch.empty((len(flat), self.heads), dtype=torch.int64)
        for group in self.groups:
            rows, tokens = group.shape
            here = (flat >= start) & (flat < start + rows * tokens)
            row, token = (flat[here] - start) // tokens, (flat[here] - start) % tokens
            found[here] = (start + row * tokens)[:, None] * self.heads + heads * tokens + token[:, None]
            start += rows * tokens
        return found.flatten()

    @cached_property
    def padding(self) -> Tensor:
        """(padding places,) int64: the indices in the rectangles that repeat a row's last token."""
        real = torch.zeros(len(self.queries), dtype=torch.bool)
        real[self.places] = True
        return (~real).nonzero().flatten()

    def batches(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """(places, size) each -> per rectangle a tuple of (rows x heads, tokens, size) views."""
        found, offset = [], 0
        for batch, tokens in self.shapes:
            part = slice(offset, offset + batch * tokens)
            found.append(tuple(tensor[part].view(batch, tokens, -1) for tensor in tensors))
            offset += batch * tokens
        return found


def attend(
    query: Tensor, key: Tensor, value: Tensor, angles: tuple[Tensor, Tensor], packing: Packing, scale: float
) -> Tensor:
    """Query (tokens, heads, size), key and value (tokens, key heads, size), before rotation; `angles`: cosines and
    sines (tokens, size). Returns (tokens, heads, size). No row may be longer than `LONGEST_ROW`.
    """
    found: Tensor = _Attention.apply(query, key, value, *per_head(angles), packing, scale)  # type: ignore[no-untyped-call]
    return found


def per_head(angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Cosines and sines (tokens, size) -> the factors of `rotated`, (tokens, 1, size) each."""
    cosine, sine = (each[:, None] for each in angles)
    half = sine.shape[-1] // 2
    return cosine, torch.cat([-sine[..., :half], sine[..., half:]], -1)


def rotated(states: Tensor, cosine: Tensor, signed_sine: Tensor) -> Tensor:
    """(tokens, heads, size) -> rotary position encoding of the same shape."""
    return torch.addcmul(states * cosine, _swap_halves(states), signed_sine)


def _swap_halves(states: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    return torch.cat([states[..., half:], states[..., :half]], -1)


class _Attention(torch.autograd.Function):
    """With s = q k', p = softmax(s), o = p v: dv = p' do, ds = p (do v' - sum(do v' p)), dq = ds k, dk = ds' q."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 (autograd needs one argument per tensor)
        context: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cosine: Tensor,
        signed_sine: Tensor,
        packing: Packing,
        scale: float,
    ) -> Tensor:
        tokens, heads, size = query.shape
        layout = Rectangles.of(packing, heads, heads // key.shape[1])
        query, key = (rotated(each, cosine, signed_sine).view(-1, size) for each in (query, key))
        queries = query.index_select(0, layout.queries)
        keys, values = (each.index_select(0, layout.keys) for each in (key, value.reshape(-1, size)))
        output, weights = torch.empty_like(queries), []
        for q, k, v, o in layout.batches(queries, keys, values, output):
            weights.append(_weights(q, k, scale))
            torch.bmm(weights[-1], v, out=o)
        context.layout, context.scale = layout, scale
        context.save_for_backward(queries, keys, values, cosine, signed_sine, *weights)
        return output.index_select(0, layout.places).view(tokens, heads, size)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, cosine, signed_sine, *weights = context.saved_tensors
        layout, size = context.layout, queries.shape[-1]
        outer = gradients[0].reshape(-1, size).index_select(0, layout.queries).index_fill_(0, layout.padding, 0.0)
        found = [torch.empty_like(outer) for _ in range(3)]
        parts = layout.batches(queries, keys, values, outer, *found)
        for p, (q, k, v, do, dq, dk, dv) in zip(weights, parts, strict=True):
            torch.bmm(p.transpose(1, 2), do, out=dv)
            dp = torch.bmm(do, v.transpose(1, 2))
            ds = torch._softmax_backward_data(dp, p, -1, p.dtype).mul_(context.scale)
            torch.bmm(ds, k, out=dq)
            torch.bmm(ds.transpose(1, 2), q, out=dk)
        of_query, of_key, of_value = (
            each.index_select(0, layout.places).view(-1, layout.heads, size) for each in found
        )
        if layout.shared > 1:
            of_key, of_value = (each.view(len(each), -1, layout.shared, size).sum(2) for each in (of_key, of_value))
        of_query, of_key = (
            torch.addcmul(_swap_halves(each * signed_sine), each, cosine) for each in (of_query, of_key)
        )
        return of_query, of_key, of_value, None, None, None, None


def _weights(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """(batch, tokens, size) twice -> (batch, tokens, tokens) causal attention weights."""
    tokens = query.shape[1]
    later = query.new_full((tokens, tokens), -torch.inf).triu_(1)
    seen = torch.baddbmm(later.expand(len(query), -1, -1), query, key.transpose(1, 2), alpha=scale)
    return torch.softmax(seen, -1, out=seen)
