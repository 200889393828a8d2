"""What this process is doing, for whoever watches: the stage, its steps, loss, tokens per second and time left.

Code that works in steps opens a `Stage`; whoever runs the job opens `sending`. Without a listener a stage costs
nothing, and with one most steps only read a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

PERIOD_SECONDS = 2.0
"""Shortest time between two messages about the steps of a stage."""

clock = time.monotonic
Send = Callable[[dict[str, Any]], object]
_SEND: ContextVar[Send | None] = ContextVar("send", default=None)
_PARTS: ContextVar[tuple[str, ...]] = ContextVar("parts", default=())


@contextmanager
def sending(send: Send | None) -> Iterator[None]:
    """Within the block, stages send their progress here; None: nowhere (every rank but the first)."""
    token = _SEND.set(send)
    try:
        yield
    finally:
        _SEND.reset(token)


@contextmanager
def within(part: str) -> Iterator[None]:
    """Within the block, the names of stages begin with `part: `."""
    token = _PARTS.set((*_PARTS.get(), part))
    try:
        yield
    finally:
        _PARTS.reset(token)


class Stage:
    """Work that begins now. `steps`: how many there are; None if they cannot be counted.

    Sends `stage`, and after steps `step`, `of`, and where they are known `loss`, `tokens_per_second`, `seconds_left`.
    """

    def __init__(self, name: str, steps: int | None = None, done: int = 0) -> None:
        """`done`: steps that an earlier process took."""
        self._send, self._steps, self._done = _SEND.get(), steps, float(done)
        if self._send is None:
            return
        self._facts: dict[str, Any] = {"stage": ": ".join((*_PARTS.get(), name))}
        if steps:
            self._facts |= {"step": done, "of": steps}
        self._tokens = 0
        self._start = self._next = clock()
        self._from = (self._start, self._done, 0)  # speeds are measured from here
        self._send(dict(self._facts))

    def step(
        self, by: float = 1, *, to: int | None = None, tokens: int = 0, loss: Callable[[], float] | None = None
    ) -> None:
        """So many more steps are done, or all up to `to`. `tokens`: that they read, on all ranks.

        `loss` is called only for a message, since it makes the host wait for the device.
        """
        if self._send is None:
            return
        first = self._from[0] == self._start
        self._done = self._done + by if to is None else to
        self._tokens += tokens
        now = clock()
        if now >= self._next:
            self._next = now + PERIOD_SECONDS
            known = {} if loss is None else {"loss": loss()}
            self._send({**self._facts, "step": int(self._done), **known, **self._speed(now)})
        if first:  # later speeds leave out the first step, which may compile
            self._from = (now, self._done, self._tokens)

    def _speed(self, now: float) -> dict[str, float]:
        began, done, tokens = self._from
        seconds, steps = now - began, self._done - done
        if seconds <= 0 or steps <= 0:
            return {}
        found = {"tokens_per_second": (self._tokens - tokens) / seconds} if self._tokens > tokens else {}
        return found | ({"seconds_left": (self._steps - self._done) * seconds / steps} if self._steps else {})
