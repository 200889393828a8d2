"""The rooms of one model, and their steps: run as they are, or recorded once and replayed. Knows no device.

A recording is good for the addresses it was made with, so the rooms are kept with it, and all goes when the memory of
keys and values is replaced by a larger one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache

from trainables.evaluation.decoding.static_cache import Memory, Room, Size

_MOST = 16
"""Rooms that are kept. Recordings share their scratch memory: each more costs its nodes, a few MiB."""
_WORTH = 4
"""Steps that a recording must have ahead of it. It costs about two steps, and most batches end early or not soon."""

Replay = Callable[[], None]


class Recorder(Protocol):
    """Records a step."""

    def __call__(self, step: Callable[[], None]) -> Replay | None:
        """Runs the step once, and returns what runs it again on the same addresses; None where that cannot be."""


class StaticCachePool:
    """Made for one model. Without a `recorder` all steps are run as they are."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self._memory: Memory | None = None
        self._rooms: OrderedDict[Size, Room] = OrderedDict()
        self._replays: dict[Size, Replay] = {}

    @property
    def bytes(self) -> int:
        """Of keys and values."""
        return 0 if self._memory is None else self._memory.bytes

    def open(self, cache: Cache, most: Size) -> None:
        """Make sure of memory for rooms up to `most`, for a cache of this kind."""
        if self._memory is None or not self._memory.holds(cache, most):
            self._replays.clear()
            self._rooms.clear()
            self._memory = None  # the old one goes before the new one comes
            self._memory = Memory(cache, most)

    def room(self, size: Size, device: torch.device | str) -> Room:
        """Of this size; whoever was in another room must have left it when this one is used."""
        if self._memory is None:
            raise RuntimeError(f"a room of {size.rows} rows needs memory: call open first")
        if size not in self._rooms:
            self._rooms[size] = Room(size, self._memory, device)
        self._rooms.move_to_end(size)
        while len(self._rooms) > _MOST:
            oldest, _ = self._rooms.popitem(last=False)
            self._replays.pop(oldest, None)
        return self._rooms[size]

    def run(self, room: Room, model: Callable[..., Any], steps: int) -> None:
        """So many steps of the room, which must be the last that was asked for."""

        def step() -> None:
            room.step(model)

        replay = self._replays.get(room.size)
        if replay is None and self._recorder is not None and steps >= _WORTH:
            replay = self._recorder(step)
            steps -= 1
            if replay is None:
                self._recorder = None
            else:
                self._replays[room.size] = replay
        for _ in range(steps):
            (replay or step)()
