"""A key-value cache that grows in chunks. Knows nothing of models or decoding.

Hugging Face's dynamic cache copies all keys and values for every new token, which is most of the time of a long decode.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_CHUNK = 64  # tokens of room per growth


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values, each (rows, heads, tokens, size): views of buffers with room for more tokens."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._rooms = (keys, values)
        self._tokens = keys.shape[-2]
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append (rows, heads, new tokens, size); returns all keys and values so far."""
        start, self._tokens = self._tokens, self._tokens + key_states.shape[-2]
        if self._tokens > self._rooms[0].shape[-2]:
            keys, values = self._rooms
            self._rooms = _with_room(keys, start, self._tokens), _with_room(values, start, self._tokens)
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., start : self._tokens, :] = new
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows. On a CPU rows in their old order move up in place: fresh memory costs more than the copy."""
        kept = indices.tolist()
        if indices.device.type == "cpu" and all(before < after for before, after in pairwise(kept)):
            self._rooms = self._moved_up(self._rooms[0], kept), self._moved_up(self._rooms[1], kept)
        else:
            self._rooms = self._rooms[0][indices], self._rooms[1][indices]
        self._show()

    def _moved_up(self, room: Tensor, kept: list[int]) -> Tensor:
        for place, row in enumerate(kept):
            if place != row:
                room[place, :, : self._tokens] = room[row, :, : self._tokens]
        return room[: len(kept)]

    def _show(self) -> tuple[Tensor, Tensor]:
        keys, values = (room[..., : self._tokens, :] for room in self._rooms)
        self.keys, self.values = keys, values
        return keys, values


def _with_room(room: Tensor, filled: int, tokens: int) -> Tensor:
    roomy = room.new_empty((*room.shape[:-2], tokens + _CHUNK, room.shape[-1]))
    roomy[..., :filled, :] = room[..., :filled, :]
    return roomy


def make_growing(cache: Cache) -> Cache:
    """Swap the plain layers of a cache that a forward pass has filled; others (sliding window, recurrent) stay."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[number] = GrowingLayer(layer.keys, layer.values)
    return cache
