"""Causal attention within each row of a packed batch, as an attention implementation of transformers.

A forward pass with `packing=` uses the variable-length kernel (GPUs, half precision) or puts rows of similar length in
rectangles for `scaled_dot_product_attention`. Without `packing` it is transformers' own `sdpa`.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainables.batching.packing import Packing
from trainables.model.families import why_padded
from trainables.runtime.fast_paths import allowed

NAME = "letheon_packed"
_HALF = (torch.float16, torch.bfloat16)
HEAD_SIZES = range(8, 257, 8)  # that the kernel supports
_TAKES_ENABLE_GQA = "enable_gqa" in signature(varlen_attn).parameters
"""Whether the kernel needs to know that several query heads share a key; before torch 2.12 it always allows it."""

_UNKNOWN_HERE = ("softcap", "s_aux", "position_bias")  # arguments that change attention; the kernels do not know them


def use_packed_attention(model: Any) -> bool:
    """Make the model take packed rows if its architecture allows it. Returns whether it does.

    The model must pass keyword arguments on to transformers' attention functions; `why_padded` says what else.
    """
    plain = why_padded(model.config.get_text_config().to_dict()) is None
    if not (plain and model._supports_attention_backend and model._supports_sdpa):
        return False
    model.set_attn_implementation(NAME)
    return True


def takes_packed(model: Any) -> bool:
    """Whether `use_packed_attention` succeeded on the model, and packing gives this process the right numbers."""
    prepared = getattr(getattr(model, "config", None), "_attn_implementation", None) == NAME
    return prepared and allowed("packed rectangles")


def attention(  # noqa: PLR0913, PLR0917 (transformers' signature)
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: Packing | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Query, key, value (batch, heads, tokens, size) -> (batch, tokens, heads, size).

    Raises ValueError if a layer asks for what the kernels of packed rows do not do.
    """
    if packing is None:
        plain = others.get("position_bias") is None and others.get("cache") is None
        if plain and _is_one_token_with_shared_keys(query, key, attention_mask):
            return _for_one_token(query, key, value, attention_mask, scaling, dropout), None
        found, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return found, None
    if unknown := [name for name in _UNKNOWN_HERE if others.get(name) is not None]:
        raise ValueError(
            f"{type(module).__name__}: {unknown[0]} must be None for packed rows; give its family a reason for padding"
        )
    window = sliding_window if sliding_window is not None and sliding_window < packing.longest else None
    tokens = [states[0].transpose(0, 1) for states in (query, key, value)]
    if packing.kernel and query.dtype in _HALF and query.shape[3] in HEAD_SIZES and not dropout:
        return _by_kernel(tokens, packing, scaling, window)[None], None
    return _by_rectangles(tokens, packing, scaling, window, dropout)[None], None


def _is_one_token_with_shared_keys(query: Tensor, key: Tensor, mask: Tensor | None) -> bool:
    return query.shape[2] == 1 and query.shape[1] != key.shape[1] and mask is not None and mask.shape[1] == 1


def _for_one_token(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None, dropout: float
) -> Tensor:
    """(rows, heads, 1, size) queries -> (rows, 1, heads, size).

    Query heads that share keys become the tokens of one head. Transformers 5.17 repeats the keys and values of all
    slots instead, in every layer and step of decoding; newer releases do as is done here.
    """
    rows, heads, _, size = query.shape
    together = query.reshape(rows, key.shape[1], -1, size)
    found = scaled_dot_product_attention(together, key, value, mask, dropout, scale=scaling)
    return found.reshape(rows, 1, heads, -1)


def _by_kernel(tokens: list[Tensor], packing: Packing, scaling: float | None, window: int | None) -> Tensor:
    """(tokens, heads, size) each -> (tokens, heads, size)."""
    query, key, value = tokens
    longest = packing.longest
    shared: dict[str, Any] = {"enable_gqa": query.shape[1] != key.shape[1]} if _TAKES_ENABLE_GQA else {}
    found = varlen_attn(
        query,
        key,
        value,
        packing.bounds,
        packing.bounds,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        **shared,
    )
    assert isinstance(found, Tensor)  # a pair only if statistics are requested
    return found


@torch.compiler.disable  # type: ignore[untyped-decorator]  # shapes differ in every batch
def _by_rectangles(
    tokens: list[Tensor], packing: Packing, scaling: float | None, window: int | None, dropout: float
) -> Tensor:
    """(tokens, heads, size) each -> (tokens, heads, size)."""
    query, key, value = tokens
    heads, size = query.shape[1:]
    if key.shape[1] != heads:
        key, value = (states.repeat_interleave(heads // key.shape[1], 1) for states in (key, value))
    found = []
    for indices in packing.groups:
        q, k, v = (states[indices].transpose(1, 2) for states in (query, key, value))
        mask = None if window is None else _band(indices.shape[1], window, query.device)
        seen = scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None, scale=scaling)
        found.append(seen.transpose(1, 2).reshape(-1, heads, size))
    return torch.cat(found)[packing.places]


def _band(tokens: int, window: int, device: torch.device) -> Tensor:
    """(tokens, tokens) bool: each token sees itself and the window - 1 before it."""
    steps = torch.arange(tokens, device=device)
    back = steps[:, None] - steps[None]
    return (back >= 0) & (back < window)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
