"""Greedy decoding in rooms of a few fixed sizes, where the host looks at the rows every few tokens only.

On a GPU a small model's step is bound by launching its kernels, and by the host's waiting to see which rows have ended.
Here rows that have ended stay until half of the room has, and the room's step can be recorded and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from trainables.batching.packing import rounded_up
from trainables.evaluation.decoding.dynamic import before
from trainables.evaluation.decoding.static_cache import Pairs, Room, Size
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool
from trainables.model.packed_attention import NAME

_STEPS = 16  # between two looks
_CHUNK = 64  # slots: rooms have a multiple of it, and at first this many for what is written

Tokens = tuple[int, ...]


def takes_fixed(model: Any) -> bool:
    """Whether the model's own forward pass may be given a finished mask and a cache of fixed size."""
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return implementation in {"sdpa", NAME} and bool(getattr(model, "_can_compile_fullgraph", False))


@torch.no_grad()
def decode_fixed(
    model: Callable[..., Any],
    prompts: Sequence[Tokens],
    limits: Sequence[int],
    ends: Collection[int],
    all_done: Callable[[bool], bool],
    device: torch.device | str,
    rooms: StaticCachePool,
) -> list[Tokens] | None:
    """As `generate`, with a limit for each prompt; None if a layer of the model keeps no plain keys and values.

    `all_done` is asked after 1, 3, 7, 15, 31, 47, … steps, on every rank the same. Only the first forward pass, over
    the prompts, has a size of its own.
    """
    layers = _read(model, prompts, device)
    if layers is None:
        return None
    cache, pairs = layers
    batch = _Batch(prompts, limits, device, rooms)
    batch.enter(cache, pairs, ends)
    for steps in _cadence():
        batch.make_room(steps)
        rooms.run(batch.room, model, steps)
        if all_done(batch.look() == 0):
            break
        batch.drop()
    return [before(tokens, ends) for tokens in batch.written()]


def _cadence() -> Iterator[int]:
    """Steps until the next look: few at first, since many answers are short. Constant, so that ranks stay in step."""
    steps = 1
    while True:
        yield steps
        steps = min(2 * steps, _STEPS)


def _read(model: Callable[..., Any], prompts: Sequence[Tokens], device: torch.device | str) -> tuple[Any, Pairs] | None:
    """Cache, and keys and values of it, of the prompts without their last token, padded on the right with any
    token: a causal model's earlier tokens cannot see the padding, and it is masked or overwritten later.
    """
    width = max(1, *(len(prompt) - 1 for prompt in prompts))
    ids = torch.zeros((len(prompts), width), dtype=torch.int64)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt) - 1] = torch.tensor(prompt[:-1], dtype=torch.int64)
    cache = model(input_ids=ids.to(device), use_cache=True, logits_to_keep=1).past_key_values
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    return cache, ((layer.keys, layer.values) for layer in cache.layers)


def _slots(tokens: int) -> int:
    return -(-tokens // _CHUNK) * _CHUNK


class _Batch:
    """The rows of one batch on their way through rooms. The host's picture of them is as old as the last look."""

    def __init__(
        self, prompts: Sequence[Tokens], limits: Sequence[int], device: torch.device | str, rooms: StaticCachePool
    ) -> None:
        self._prompts, self._device, self._rooms = prompts, device, rooms
        self._here = list(range(len(prompts)))  # whose row is in which place of the room
        self._at = [len(prompt) - 1 for prompt in prompts]
        self._to = [at + limit for at, limit in zip(self._at, limits, strict=True)]
        self._most = Size(rounded_up(len(prompts)), _slots(max(self._to) + 1))
        self._written: dict[int, list[int]] = {}
        self.room: Room

    def enter(self, cache: Any, layers: Pairs, ends: Collection[int]) -> None:
        """Take the first room. `layers`: of the prompts without their last token."""
        self._rooms.open(cache, self._most)
        longest = max(map(len, self._prompts))
        text = torch.zeros((len(self._prompts), longest), dtype=torch.int64)
        for row, prompt in zip(text, self._prompts, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)
        self.room = self._rooms.room(self._size(self._most.rows, longest), self._device)
        self.room.end_at(ends)
        self.room.take(text.to(self._device), self._column(self._at), self._column(self._to), layers)

    def make_room(self, steps: int) -> None:
        """Move to a larger room if a row could leave this one within so many steps."""
        need = 1 + max(min(at + steps, to) for at, to in zip(self._at, self._to, strict=True))
        if need > self.room.size.tokens:
            self._move(self._size(self.room.size.rows, need), range(len(self._here)))

    def look(self) -> int:
        """See where the rows are; returns how many have not ended."""
        at, to = self.room.places()
        self._at, self._to = at[: len(self._here)], to[: len(self._here)]
        return len(self._alive())

    def drop(self) -> None:
        """Leave ended rows behind where the others need half of the room at most."""
        alive = self._alive()
        rows = 1 << (len(alive) - 1).bit_length() if alive else self.room.size.rows
        if 2 * rows <= self.room.size.rows:
            self._note(set(range(len(self._here))) - set(alive))
            self._move(Size(rows, self.room.size.tokens), alive)

    def written(self) -> list[list[int]]:
        """What every row has written, the end included."""
        self._note(range(len(self._here)))
        return [self._written[row] for row in range(len(self._prompts))]

    def _alive(self) -> list[int]:
        return [i for i, (at, to) in enumerate(zip(self._at, self._to, strict=True)) if at < to]

    def _note(self, places: Sequence[int] | set[int] | range) -> None:
        text = self.room.text.tolist()
        for place in places:
            row = self._here[place]
            self._written[row] = text[place][len(self._prompts[row]) : self._at[place] + 1]

    def _move(self, size: Size, kept: Sequence[int] | range) -> None:
        old, new = self.room, self._rooms.room(size, self._device)
        width = min(old.size.tokens, size.tokens)
        rows = torch.tensor(list(kept), device=self._device)
        new.ends.copy_(old.ends)
        new.take(*old.give(rows, width))
        self.room = new
        self._here, self._at, self._to = ([of[i] for i in kept] for of in (self._here, self._at, self._to))

    def _size(self, rows: int, tokens: int) -> Size:
        return Size(rows, min(self._most.tokens, _slots(tokens + _CHUNK)))

    def _column(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, device=self._device)[:, None]
