"""A batch of rows decoded in tensors of fixed sizes: every step runs the same kernels on the same addresses.

Each row keeps its tokens, and their keys and values, in its own slots 0, 1, 2, …, whatever the length of other rows:
there is no padding on the left, and slots after the last token are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

MOST_ENDS = 8
"""End tokens of a model; a fixed number, so that a recorded step works for any set of end tokens."""

Pairs = Iterable[tuple[Tensor, Tensor]]
"""Keys and values of each layer in order, each (rows, heads, tokens, size)."""


class BatchSize(NamedTuple):
    """Rows, and token slots per row."""

    rows: int
    tokens: int


class KVBuffer:
    """Keys and values of all batches of a model. The batches share its memory, so only one is in use at a time."""

    def __init__(self, cache: Cache, most: BatchSize) -> None:
        """`cache`: a filled cache, for the heads, sizes and types of its layers. `most`: the largest batch."""
        layers: list[Any] = list(cache.layers)
        self._kinds = _kinds(cache)
        self._slots = most.rows * most.tokens
        self._flat = [(_flat(layer.keys, self._slots), _flat(layer.values, self._slots)) for layer in layers]

    def fits(self, cache: Cache, most: BatchSize) -> bool:
        """Whether batches up to this size fit, for caches like this one."""
        return self._kinds == _kinds(cache) and most.rows * most.tokens <= self._slots

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for pair in self._flat for part in pair)

    def layers(self, size: BatchSize) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values of every layer, (rows, heads, tokens, size) each."""
        for (heads, keys, values, _, _), (flat_keys, flat_values) in zip(self._kinds, self._flat, strict=True):
            yield _shaped(flat_keys, size, heads, keys), _shaped(flat_values, size, heads, values)


def _kinds(cache: Cache) -> list[tuple[int, int, int, torch.dtype, torch.device]]:
    """Heads, key size, value size, type and device of every layer."""
    layers: list[Any] = list(cache.layers)
    return [(at.keys.shape[1], at.keys.shape[3], at.values.shape[3], at.keys.dtype, at.keys.device) for at in layers]


def _flat(like: Tensor, slots: int) -> Tensor:
    return like.new_zeros(slots * like.shape[1] * like.shape[3])


def _shaped(flat: Tensor, size: BatchSize, heads: int, width: int) -> Tensor:
    return flat[: size.rows * size.tokens * heads * width].view(size.rows, heads, size.tokens, width)


class StaticLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values; those of a new token go to the slots `positions` (rows, 1)."""

    def __init__(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self._positions = positions

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Write (rows, heads, 1, size) to their slots; returns all slots."""
        keys, values = self.keys, self.values
        assert keys is not None
        assert values is not None
        at = self._positions[:, :, None, None]
        keys.scatter_(2, at.expand_as(key_states), key_states)
        values.scatter_(2, at.expand_as(value_states), value_states)
        return keys, values


class DecodeBatch:
    """Rows that are decoded together.

    `text`: (rows, tokens) int64, prompt and generated tokens. `positions`: (rows, 1) int64, the last slot with a token.
    `last`: (rows, 1) int64, the slot at which the row ends; a row has ended when its position is there. `ends`:
    (MOST_ENDS,) int64, the end tokens, padded with repeats. Unused rows have ended at slot 0.
    """

    def __init__(self, size: BatchSize, buffer: KVBuffer, device: torch.device | str) -> None:
        self.size = size
        self.text = torch.zeros(size, dtype=torch.int64, device=device)
        self.positions = torch.zeros((size.rows, 1), dtype=torch.int64, device=device)
        self.last = torch.zeros_like(self.positions)
        self.ends = torch.zeros(MOST_ENDS, dtype=torch.int64, device=device)
        self._slots = torch.arange(size.tokens, device=device)
        self._layers = [StaticLayer(keys, values, self.positions) for keys, values in buffer.layers(size)]
        self._cache = Cache(layers=list(self._layers))

    def step(self, model: Callable[..., Any]) -> None:
        """Append the likeliest next token to every row that has not ended."""
        ids = self.text.gather(1, self.positions)
        output = model(
            input_ids=ids,
            # transformers uses a mask of four dimensions as it is; one of two it would expand, which reads values.
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
        """Set the end tokens. Raises ValueError for none or more than `MOST_ENDS`."""
        if not 0 < len(ends) <= MOST_ENDS:
            raise ValueError(f"{len(ends)} end tokens: there must be 1 to {MOST_ENDS}; correct generation_config.json")
        self.ends.copy_(torch.tensor((*ends, *[next(iter(ends))] * (MOST_ENDS - len(ends)))))

    def load(self, text: Tensor, positions: Tensor, last: Tensor, layers: Pairs) -> None:
        """Replace the contents by these rows, at the front. None may be wider than the batch."""
        rows = len(text)
        for mine, new in ((self.text, text), (self.positions, positions), (self.last, last)):
            mine.zero_()
            mine[:rows, : new.shape[1]] = new
        for layer, pair in zip(self._layers, layers, strict=True):
            for place, new in zip((layer.keys, layer.values), pair, strict=True):
                assert place is not None
                place.zero_()  # masked slots are multiplied by zero, so they must not be NaN
                place[:rows, :, : new.shape[2]] = new

    def extract(self, rows: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor, Pairs]:
        """Copies of the first `width` slots of these rows, for `load`. Keys and values are copied lazily by layer."""
        layers: list[Any] = list(self._layers)
        pairs = ((layer.keys[rows, :, :width], layer.values[rows, :, :width]) for layer in layers)
        return self.text[rows, :width], self.positions[rows], self.last[rows], pairs

    def state(self) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of `text`, `positions` and `last`; keys and values of earlier slots and these decide the next step."""
        return self.text.clone(), self.positions.clone(), self.last.clone()

    def restore(self, state: tuple[Tensor, Tensor, Tensor]) -> None:
        """Go back to an earlier `state`: slots after its positions are masked, or written again."""
        for mine, earlier in zip((self.text, self.positions, self.last), state, strict=True):
            mine.copy_(earlier)

    def written(self, before: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """Copies of the keys and values that the step from the state `before` wrote, (rows, heads, 1, size) each."""
        at = before[1][:, :, None, None]
        layers: list[Any] = list(self._layers)
        pairs = (each for layer in layers for each in (layer.keys, layer.values))
        return [each.gather(2, at.expand(-1, each.shape[1], -1, each.shape[3])) for each in pairs]

    def progress(self) -> tuple[list[int], list[int]]:
        """Position and end slot of each row. Waits for the device."""
        both = torch.cat([self.positions, self.last], 1).T.tolist()
        return both[0], both[1]
