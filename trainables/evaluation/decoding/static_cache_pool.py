"""The static decoding batches of one model, and their steps, which run directly or are recorded once and replayed.

A recording is valid for the addresses it was made with. So batches are kept with their recordings, and all are dropped
when the buffer of keys and values is replaced by a larger one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache

from trainables.evaluation.decoding.static_cache import BatchSize, DecodeBatch, KVBuffer
from trainables.runtime.fast_paths import TOLERANCE, FastPath, Outcome, allowed, prove

_MOST_BATCHES = 16
"""Kept at a time. Recordings share scratch memory, so each further one costs only its graph nodes, a few MiB."""
_HEADROOM = 1.25
"""Slots of the buffer per slot of the batch it is made for: rows and slots of a later batch of as many tokens may be
rounded up to more, and a larger buffer would cost all recordings."""
_FEWEST_STEPS = 4
"""Steps ahead that make a recording worth its cost of about two steps: most batches end early or run long."""

RECORDED: FastPath = "recorded decoding"

Replay = Callable[[], None]


class Recorder(Protocol):
    """Records a step."""

    def __call__(self, step: Callable[[], None]) -> Replay:
        """Runs the step once, and returns a function that replays it on the same addresses. May raise anything."""


class StaticCachePool:
    """Batches by size, for one model. Without a `recorder` all steps run directly."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self._buffer: KVBuffer | None = None
        self._batches: OrderedDict[BatchSize, DecodeBatch] = OrderedDict()
        self._replays: dict[BatchSize, Replay] = {}

    @property
    def bytes(self) -> int:
        """Bytes of keys and values."""
        return 0 if self._buffer is None else self._buffer.bytes

    def reserve(self, cache: Cache, most: BatchSize) -> None:
        """Ensure a buffer for batches up to `most`, for caches like this one."""
        if self._buffer is None or not self._buffer.fits(cache, most):
            self._replays.clear()
            self._batches.clear()
            self._buffer = None  # free the old one before allocating
            self._buffer = KVBuffer(cache, BatchSize(most.rows, math.ceil(_HEADROOM * most.tokens)))

    def batch(self, size: BatchSize, device: torch.device | str) -> DecodeBatch:
        """The batch of this size. All batches share one buffer, so the previous one must have been extracted."""
        if self._buffer is None:
            raise RuntimeError(f"a batch of {size.rows} rows needs a buffer: call reserve first")
        if size not in self._batches:
            self._batches[size] = DecodeBatch(size, self._buffer, device)
        self._batches.move_to_end(size)
        while len(self._batches) > _MOST_BATCHES:
            oldest, _ = self._batches.popitem(last=False)
            self._replays.pop(oldest, None)
        return self._batches[size]

    def run(self, batch: DecodeBatch, model: Callable[..., Any], steps: int) -> None:
        """Run so many steps of the batch that was requested last."""

        def step() -> None:
            batch.step(model)

        replay = self._replays.get(batch.size) if allowed(RECORDED) else None
        if replay is None and self._recorder is not None and steps >= _FEWEST_STEPS and allowed(RECORDED):
            replay = self._record(self._recorder, batch, step)
            if replay is not None:
                self._replays[batch.size] = replay
                steps -= 1
        for _ in range(steps):
            (replay or step)()

    @staticmethod
    def _record(recorder: Recorder, batch: DecodeBatch, step: Callable[[], None]) -> Replay | None:
        """A recording, after one step: replayed, it did what the step does. None, after no step, if it did not, or if
        the step cannot be recorded; then nothing is recorded any more in this process.
        """
        before, made = batch.state(), list[Replay]()

        def outcome_of(run: Callable[[], None]) -> Outcome:
            batch.restore(before)
            run()
            return Outcome([*batch.state(), *batch.written(before)])

        def fast() -> Outcome:
            batch.restore(before)
            made.append(recorder(step))
            return outcome_of(made[0])

        tolerance = TOLERANCE[batch.written(before)[0].dtype]
        if prove(RECORDED, None, (fast, lambda: outcome_of(step)), tolerance):
            return made[0]
        batch.restore(before)
        return None
