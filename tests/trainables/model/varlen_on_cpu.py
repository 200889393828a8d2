"""The operator of `torch.nn.attention.varlen` for CPUs, one row at a time, written from its documentation.

It rejects the arguments that the GPU kernel rejects, so that tests verify its callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from inspect import signature
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.attention import varlen

Window = list[int]
_MUST_ASK = "enable_gqa" in signature(varlen.varlen_attn).parameters


@cache
def register() -> None:
    """Register the operator in this process."""
    varlen._varlen_attn.register_kernel("cpu")(_forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(_backward)


def _check(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> None:
    assert query.dtype == key.dtype == value.dtype
    assert all(each.ndim == 3 and each.stride(-1) == 1 for each in (query, key, value))
    assert query.shape[2] % 8 == 0 and query.shape[2] <= 256
    assert query.shape[1] % key.shape[1] == 0
    assert bounds.dtype == torch.int32 and bounds.is_contiguous()
    assert bounds[0] == 0 and bounds[-1] == len(query)  # tokens outside all rows would stay uninitialised
    assert int(bounds.diff().min()) >= 0 and int(bounds.diff().max()) <= longest


def _weights(query: Tensor, key: Tensor, causal: bool, scale: float, window: Window) -> Tensor:
    """(heads, tokens, tokens) of one row, before the softmax."""
    steps = torch.arange(query.shape[1])
    ahead = steps[None] - steps[:, None]
    left, right = window[0], 0 if causal else window[1]
    hidden = torch.zeros_like(ahead, dtype=torch.bool)
    hidden |= (ahead > right) if right >= 0 else hidden
    hidden |= (-ahead > left) if left >= 0 else hidden
    return (query @ key.transpose(1, 2) * scale).masked_fill(hidden, float("-inf"))


def _rows(bounds: Tensor, heads: int, *states: Tensor) -> Iterator[list[Tensor]]:
    """One row at a time of each tensor, (heads, tokens, size) float32, with shared heads repeated."""
    for start, stop in pairwise(bounds.tolist()):
        yield [each[start:stop].float().transpose(0, 1).repeat_interleave(heads // each.shape[1], 0) for each in states]


def _shared(gradient: Tensor, heads: int) -> Tensor:
    """(tokens, all heads, size) -> (tokens, heads, size): the sums over repeated heads."""
    return gradient.reshape(len(gradient), heads, -1, gradient.shape[2]).sum(2)


def _forward(  # noqa: PLR0913, PLR0917
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor | None,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
    scale: float | None = None,
    window_size: Window | None = None,
    enable_gqa: bool = False,
    seqused_k: Tensor | None = None,
    block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    assert cu_seq_k is not None and torch.equal(cu_seq_q, cu_seq_k) and max_q == max_k
    assert not _MUST_ASK or enable_gqa or query.shape[1] == key.shape[1]
    assert seqused_k is None and block_table is None and num_splits is None
    _check(query, key, value, cu_seq_q, max_q)
    scale = query.shape[2] ** -0.5 if scale is None else scale
    found, totals = [], []
    for q, k, v in _rows(cu_seq_q, query.shape[1], query, key, value):
        weights = _weights(q, k, is_causal, scale, window_size or [-1, -1])
        found.append((weights.softmax(-1) @ v).transpose(0, 1))
        totals.append(weights.logsumexp(-1))
    return torch.cat(found).to(query.dtype), torch.cat(totals, 1), torch.zeros(2, dtype=torch.uint64)


def _backward(  # noqa: PLR0913, PLR0917
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool,
    rng_state: Tensor,
    scale: float | None = None,
    window_size: Window | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    _check(query, key, value, cu_seq_q, max_q)
    scale = query.shape[2] ** -0.5 if scale is None else scale
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for q, k, v, of_out in _rows(cu_seq_q, query.shape[1], query, key, value, grad_out):
        shares = _weights(q, k, is_causal, scale, window_size or [-1, -1]).softmax(-1)
        of_shares = of_out @ v.transpose(1, 2)
        of_weights = scale * shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True))
        parts.append((of_weights @ k, of_weights.transpose(1, 2) @ q, shares.transpose(1, 2) @ of_out))
    whole = [torch.cat(of, 1).transpose(0, 1) for of in zip(*parts, strict=True)]
    return (
        whole[0].to(query.dtype).contiguous(),
        _shared(whole[1], key.shape[1]).to(key.dtype),
        _shared(whole[2], key.shape[1]).to(value.dtype),
    )
