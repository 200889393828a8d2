"""A key-value cache that grows in chunks.

Hugging Face's dynamic cache copies all keys and values for every new token, which dominates the time of a long decode.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_CHUNK = 64  # tokens of spare capacity after growing


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values, each (rows, heads, tokens, size): views of buffers with spare capacity."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._buffers = (keys, values)
        self._tokens = keys.shape[-2]
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append (rows, heads, new tokens, size); returns all keys and values so far."""
        start, self._tokens = self._tokens, self._tokens + key_states.shape[-2]
        keys, values = self._buffers
        if self._tokens > keys.shape[-2]:
            self._buffers = _enlarged(keys, start, self._tokens), _enlarged(values, start, self._tokens)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start : self._tokens, :] = new
        return self._set_views()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows. On a CPU, rows in ascending order move in place: allocating costs more than copying."""
        kept = indices.tolist()
        keys, values = self._buffers
        if indices.device.type == "cpu" and all(before < after for before, after in pairwise(kept)):
            self._buffers = self._compacted(keys, kept), self._compacted(values, kept)
        else:
            self._buffers = keys[indices], values[indices]
        self._set_views()

    def _compacted(self, buffer: Tensor, kept: list[int]) -> Tensor:
        for place, row in enumerate(kept):
            if place != row:
                buffer[place, :, : self._tokens] = buffer[row, :, : self._tokens]
        return buffer[: len(kept)]

    def _set_views(self) -> tuple[Tensor, Tensor]:
        keys, values = (buffer[..., : self._tokens, :] for buffer in self._buffers)
        self.keys, self.values = keys, values
        return keys, values


def _enlarged(buffer: Tensor, filled: int, tokens: int) -> Tensor:
    larger = buffer.new_empty((*buffer.shape[:-2], tokens + _CHUNK, buffer.shape[-1]))
    larger[..., :filled, :] = buffer[..., :filled, :]
    return larger


def use_growing_layers(cache: Cache) -> Cache:
    """Replace the plain layers of a filled cache; others (sliding window, recurrent) stay."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[number] = GrowingLayer(layer.keys, layer.values)
    return cache


def select_rows(cache: Cache, indices: Tensor) -> None:
    """Keep these rows of the cache, in this order; a row may be repeated."""
    layers: list[Any] = list(cache.layers)
    for layer in layers:
        # transformers' `batch_select_indices` is missing in recurrent layers, and forgets the states of mixed ones.
        (layer.batch_select_indices if isinstance(layer, GrowingLayer) else layer.reorder_cache)(indices)
