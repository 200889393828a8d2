"""Decoding rows in tensors of fixed sizes: a step is the same kernels on the same addresses every time.

A row has its tokens, and their keys and values, in the slots 0, 1, 2, … of its own, however long other rows are: there
is no padding on the left, and what lies behind its last token is masked. Knows a room and its step; which rows are in
it, and when a step is recorded to be replayed, is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

MOST_ENDS = 8
"""End tokens of a model. A fixed number, so that a step that was recorded serves other models."""

Pairs = Iterable[tuple[Tensor, Tensor]]
"""Keys and values of layer after layer, each (rows, heads, tokens, size)."""


class Size(NamedTuple):
    """Of a room, in rows and slots a row."""

    rows: int
    tokens: int


class Memory:
    """Keys and values of all rooms of a model. They lie in the same memory, so only one is in use at a time."""

    def __init__(self, cache: Cache, most: Size) -> None:
        """`cache`: of a forward pass, whose layers have the heads, sizes and types. `most`: the largest room."""
        self._kinds = _kinds(cache)
        self._slots = most.rows * most.tokens
        self._flat = [
            (_flat(layer.keys, self._slots), _flat(layer.values, self._slots))
            for layer in cache.layers
            if isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        ]

    def holds(self, cache: Cache, most: Size) -> bool:
        """Whether rooms up to this size of such a cache fit."""
        return self._kinds == _kinds(cache) and most.rows * most.tokens <= self._slots

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for pair in self._flat for part in pair)

    def room(self, size: Size) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values of every layer, (rows, heads, tokens, size) each."""
        for (heads, keys, values, _, _), (flat_keys, flat_values) in zip(self._kinds, self._flat, strict=True):
            yield _shaped(flat_keys, size, heads, keys), _shaped(flat_values, size, heads, values)


def _kinds(cache: Cache) -> list[tuple[int, int, int, torch.dtype, torch.device]]:
    """Of every layer: heads, size of a key and of a value, type and device."""
    layers: list[Any] = list(cache.layers)
    return [(at.keys.shape[1], at.keys.shape[3], at.values.shape[3], at.keys.dtype, at.keys.device) for at in layers]


def _flat(like: Tensor, slots: int) -> Tensor:
    return like.new_zeros(slots * like.shape[1] * like.shape[3])


def _shaped(flat: Tensor, size: Size, heads: int, width: int) -> Tensor:
    return flat[: size.rows * size.tokens * heads * width].view(size.rows, heads, size.tokens, width)


class FixedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values; those of a new token go to the slot that `positions` (rows, 1) says."""

    def __init__(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self._positions = positions

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Put (rows, heads, 1, size) in their slots; returns all slots."""
        keys, values = self.keys, self.values
        assert keys is not None
        assert values is not None
        at = self._positions[:, :, None, None]
        keys.scatter_(2, at.expand_as(key_states), key_states)
        values.scatter_(2, at.expand_as(value_states), value_states)
        return keys, values


class Room:
    """Rows that are decoded together.

    `text`: (rows, tokens) int64, what has been read and written. `positions`: (rows, 1) int64, the last slot with a
    token. `last`: (rows, 1) int64, the slot at which the row ends; it has ended once it is there. `ends`: (MOST_ENDS,)
    int64, the tokens that end a row, some of them several times. Rows that are not needed have ended at slot 0.
    """

    def __init__(self, size: Size, memory: Memory, device: torch.device | str) -> None:
        self.size = size
        self.text = torch.zeros(size, dtype=torch.int64, device=device)
        self.positions = torch.zeros((size.rows, 1), dtype=torch.int64, device=device)
        self.last = torch.zeros_like(self.positions)
        self.ends = torch.zeros(MOST_ENDS, dtype=torch.int64, device=device)
        self._slots = torch.arange(size.tokens, device=device)
        self._layers = [FixedLayer(keys, values, self.positions) for keys, values in memory.room(size)]
        self._cache = Cache(layers=list(self._layers))

    def step(self, model: Callable[..., Any]) -> None:
        """Every row that has not ended reads its last token and writes the likeliest next one."""
        ids = self.text.gather(1, self.positions)
        output = model(
            input_ids=ids,
            # In four dimensions it is taken as it is; of two, transformers would make it, and look at values for that.
            attention_mask=(self._slots <= self.positions)[:, None, None],
            position_ids=self.positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        chosen = output.logits[:, -1].argmax(-1, keepdim=True)
        going = self.positions < self.last
        after = self.positions + going
        self.text.scatter_(1, after, torch.where(going, chosen, ids))
        ended = (chosen == self.ends).any(1, keepdim=True)
        self.last.copy_(torch.where(going & ended, after, self.last))
        self.positions.copy_(after)

    def end_at(self, ends: Collection[int]) -> None:
        """Rows end with one of these tokens. Raises ValueError for more than `MOST_ENDS` or none."""
        if not 0 < len(ends) <= MOST_ENDS:
            raise ValueError(f"{len(ends)} end tokens: there must be 1 to {MOST_ENDS}; correct generation_config.json")
        self.ends.copy_(torch.tensor((*ends, *[next(iter(ends))] * (MOST_ENDS - len(ends)))))

    def take(self, text: Tensor, positions: Tensor, last: Tensor, layers: Pairs) -> None:
        """These rows move in, first; whatever was here is gone. None is wider than the room."""
        rows = len(text)
        for mine, given in ((self.text, text), (self.positions, positions), (self.last, last)):
            mine.zero_()
            mine[:rows, : given.shape[1]] = given
        for layer, pair in zip(self._layers, layers, strict=True):
            for place, given in zip((layer.keys, layer.values), pair, strict=True):
                assert place is not None
                place.zero_()  # what is masked is multiplied by zero, so it must be a number
                place[:rows, :, : given.shape[2]] = given

    def give(self, rows: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor, Pairs]:
        """Copies of these rows' first slots, as `take` wants them. Keys and values are copied as they are asked for."""
        layers: list[Any] = list(self._layers)
        pairs = ((layer.keys[rows, :, :width], layer.values[rows, :, :width]) for layer in layers)
        return self.text[rows, :width], self.positions[rows], self.last[rows], pairs

    def places(self) -> tuple[list[int], list[int]]:
        """Where each row is, and where it ends. Waits for the device."""
        both = torch.cat([self.positions, self.last], 1).T.tolist()
        return both[0], both[1]
