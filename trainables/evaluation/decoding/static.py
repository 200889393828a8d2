"""Greedy decoding in batches of a few fixed sizes, where the host checks the rows only every few tokens.

On a GPU, a small model's step is limited by kernel launches and by the host's waiting to see which rows have ended.
Here ended rows stay until half of the batch has ended, and the batch's step can be recorded and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from trainables.batching.packing import rounded_up
from trainables.evaluation.decoding.dynamic import until_end
from trainables.evaluation.decoding.static_cache import BatchSize, DecodeBatch, Pairs
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool
from trainables.model.packed_attention import NAME

_STEPS = 16  # between two checks of the rows
_CHUNK = 64  # slots: batch widths are multiples of it, and it is the first allowance for generated tokens

Tokens = tuple[int, ...]


def supports_static_cache(model: Any) -> bool:
    """Whether the model's forward pass accepts a finished mask and a cache of fixed size."""
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return implementation in {"sdpa", NAME} and bool(getattr(model, "_can_compile_fullgraph", False))


@torch.no_grad()
def decode_static(
    model: Callable[..., Any],
    prompts: Sequence[Tokens],
    limits: Sequence[int],
    ends: Collection[int],
    all_done: Callable[[bool], bool],
    device: torch.device | str,
    pool: StaticCachePool,
) -> list[Tokens] | None:
    """As `generate`, with one limit per prompt; None if a layer of the model does not keep plain keys and values.

    Calls `all_done` after 1, 3, 7, 15, 31, 47, … steps, the same on every rank. Only the first forward pass, over the
    prompts, has a size of its own.
    """
    prefilled = _prefill(model, prompts, device)
    if prefilled is None:
        return None
    rows = _Rows(prompts, limits, device, pool)
    rows.start(*prefilled, ends)
    for steps in _steps_between_checks():
        rows.make_room(steps)
        pool.run(rows.batch, model, steps)
        if all_done(rows.count_alive() == 0):
            break
        rows.drop_ended()
    return [until_end(tokens, ends) for tokens in rows.generated()]


def _steps_between_checks() -> Iterator[int]:
    """Few at first, since many answers are short. Independent of the rows, so that ranks stay in step."""
    steps = 1
    while True:
        yield steps
        steps = min(2 * steps, _STEPS)


def _prefill(
    model: Callable[..., Any], prompts: Sequence[Tokens], device: torch.device | str
) -> tuple[Any, Pairs] | None:
    """Cache, and its keys and values, of the prompts without their last token.

    Padded on the right with any token: a causal model's earlier tokens cannot see the padding, and it is masked or
    overwritten later.
    """
    width = max(1, *(len(prompt) - 1 for prompt in prompts))
    ids = _padded([prompt[:-1] for prompt in prompts], width, device)
    cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    return cache, ((layer.keys, layer.values) for layer in cache.layers)


def _padded(rows: Sequence[Tokens], width: int, device: torch.device | str) -> Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64, device=device)


def _slots(tokens: int) -> int:
    return -(-tokens // _CHUNK) * _CHUNK


class _Rows:
    """The rows to decode, on their way through batches of different sizes. Positions are those of the last check."""

    def __init__(
        self, prompts: Sequence[Tokens], limits: Sequence[int], device: torch.device | str, pool: StaticCachePool
    ) -> None:
        self._prompts, self._device, self._pool = prompts, device, pool
        self._here = list(range(len(prompts)))  # which row is in which place of the batch
        self._at = [len(prompt) - 1 for prompt in prompts]
        self._to = [at + limit for at, limit in zip(self._at, limits, strict=True)]
        self._most = BatchSize(rounded_up(len(prompts)), _slots(max(self._to) + 1))
        self._generated: dict[int, list[int]] = {}
        self.batch: DecodeBatch

    def start(self, cache: Any, layers: Pairs, ends: Collection[int]) -> None:
        """Load the first batch. `cache`, `layers`: from `_prefill`."""
        self._pool.reserve(cache, self._most)
        longest = max(map(len, self._prompts))
        self.batch = self._pool.batch(self._size(self._most.rows, longest), self._device)
        self.batch.end_at(ends)
        at, to = (torch.tensor(each, device=self._device)[:, None] for each in (self._at, self._to))
        self.batch.load(_padded(self._prompts, longest, self._device), at, to, layers)

    def make_room(self, steps: int) -> None:
        """Move to a wider batch if a row could outgrow this one within so many steps."""
        need = 1 + max(min(at + steps, to) for at, to in zip(self._at, self._to, strict=True))
        if need > self.batch.size.tokens:
            self._move(self._size(self.batch.size.rows, need), range(len(self._here)))

    def count_alive(self) -> int:
        """Update the positions; returns how many rows have not ended."""
        at, to = self.batch.progress()
        self._at, self._to = at[: len(self._here)], to[: len(self._here)]
        return len(self._alive())

    def drop_ended(self) -> None:
        """Move the other rows to a smaller batch if they need at most half of this one."""
        alive = self._alive()
        rows = 1 << (len(alive) - 1).bit_length() if alive else self.batch.size.rows
        if 2 * rows <= self.batch.size.rows:
            self._save(set(range(len(self._here))) - set(alive))
            self._move(BatchSize(rows, self.batch.size.tokens), alive)

    def generated(self) -> list[list[int]]:
        """The generated tokens of every row, the end included."""
        self._save(range(len(self._here)))
        return [self._generated[row] for row in range(len(self._prompts))]

    def _alive(self) -> list[int]:
        return [i for i, (at, to) in enumerate(zip(self._at, self._to, strict=True)) if at < to]

    def _save(self, places: Iterable[int]) -> None:
        text = self.batch.text.tolist()
        for place in places:
            row = self._here[place]
            self._generated[row] = text[place][len(self._prompts[row]) : self._at[place] + 1]

    def _move(self, size: BatchSize, kept: Sequence[int]) -> None:
        old, new = self.batch, self._pool.batch(size, self._device)
        rows = torch.tensor(list(kept), device=self._device)
        new.ends.copy_(old.ends)
        new.load(*old.extract(rows, min(old.size.tokens, size.tokens)))
        self.batch = new
        self._here, self._at, self._to = ([of[i] for i in kept] for of in (self._here, self._at, self._to))

    def _size(self, rows: int, tokens: int) -> BatchSize:
        return BatchSize(rows, min(self._most.tokens, _slots(tokens + _CHUNK)))
