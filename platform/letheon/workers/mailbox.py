"""Between resident Train workers and whoever has jobs for them: which one is current, how far it may run, its reports.

All state, no queue: every call names its generation and epoch, so one that is repeated after a crash changes nothing.
It does not know what jobs mean.
"""

from __future__ import annotations

import asyncio
from typing import Any

Report = dict[str, Any]


class Mailbox:
    """An asynchronous Ray actor (`ray.remote(Mailbox)`); waiting calls cost nothing.

    Args:
        max_failures: how many times a job may be started again after its worker was lost.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._changed = asyncio.Condition()
        self._generation = 0
        self._job: dict[str, Any] | None = None
        self._granted = 0
        self._starts = 0
        self._short_at: int | None = None  # the start that ran out of memory first
        self._excused = 0  # starts that followed a node's notice
        self._worker: Any = None
        self._leaving = False
        self._reports: dict[int, Report] = {}
        self._failure: str | None = None
        self._holder: str | None = None
        self._ready = self._closed = False
        self._ended: str | None = None

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- whose workers these are

    async def claim(self, holder: str, instead_of: str | None = None) -> str | None:
        """Make `holder` the only one who gives jobs, if nobody else is; returns who it is now.

        `instead_of` is a holder who is known to be dead. None: the workers have ended, nobody can have them.
        """
        if self._closed or self._ended is not None:
            return None
        if self._holder in (None, instead_of):
            self._holder = holder
        return self._holder

    async def release(self, holder: str) -> None:
        """Give the workers back; what they still did for `holder` is abandoned."""
        if self._holder == holder:
            self._holder, self._job = None, None
            self._generation += 1
            await self._notify()

    async def is_open(self) -> bool:
        """Whether workers may still take a job."""
        return not self._closed and self._ended is None

    async def is_ready(self) -> bool:
        """Whether there is nothing to wait for any more: they are, or have ended."""
        return self._ready or self._ended is not None

    async def when_ready(self) -> None:
        """Wait until the workers have imported what jobs need, or will never do so."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready or self._closed or self._ended is not None)

    async def end(self, reason: str) -> None:
        """The Train run is over, so no report will come any more."""
        self._ended = reason
        await self._notify()

    # -- the side of who gives jobs

    async def submit(self, job: dict[str, Any]) -> int:
        """Make `job` the current one; the former is abandoned at its next report. Returns the generation."""
        self._generation += 1
        self._job, self._granted, self._starts, self._reports, self._failure = job, 0, 0, {}, None
        self._short_at, self._excused = None, 0
        await self._notify()
        return self._generation

    async def grant(self, generation: int, epoch: int) -> None:
        """The verdict on the epochs before `epoch` is to go on."""
        if generation == self._generation:
            self._granted = max(self._granted, epoch)
            await self._notify()

    async def take(self, generation: int, epoch: int) -> Report:
        """Wait for the report of `epoch`.

        `{"failed": reason}` when the job has failed or is no longer current, `{"ended": reason}` when the workers have.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: (
                    self._closed
                    or self._ended is not None
                    or generation != self._generation
                    or self._failure is not None
                    or epoch in self._reports
                )
            )
        if generation == self._generation and epoch in self._reports:
            return self._reports[epoch]
        if self._ended is not None and not self._closed:
            return {"ended": self._ended}
        return {"failed": self._failure or "the slot was closed or took another trial"}

    async def starts(self) -> int:
        """How often workers have taken the current job: 1 if none was lost since."""
        return self._starts

    async def worker(self) -> Any:
        """The actor that works as rank 0 now, None before the first has begun."""
        return self._worker

    async def close(self) -> None:
        self._closed = True
        await self._notify()

    # -- the workers' side (rank 0, but for `fail` and `report_oom`)

    async def register_worker(self, worker: Any) -> None:
        """This actor is rank 0 from now on."""
        self._worker = worker

    async def leave(self) -> None:
        """A node of the workers will be gone soon: they end after the epoch in progress, to be started elsewhere.

        That start is not counted, nor is it if the node is gone before the epoch has ended.
        """
        self._leaving = True

    async def leaving(self) -> bool:
        """Whether this process is to end rather than to begin an epoch."""
        return self._leaving

    async def ready(self) -> None:
        """Rank 0 has imported what jobs need."""
        self._ready = True
        await self._notify()

    async def next_job(self, after: int) -> tuple[int, dict[str, Any]] | None:
        """Wait for a job newer than generation `after`; None once the mailbox is closed.

        A process that was just started asks with 0 and gets the current job again: that is a restart of it.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: (
                        self._closed or (self._generation > after and self._failure is None and self._job is not None)
                    )
                )
            if self._closed or self._job is None:
                return None
            self._starts += 1
            if after == 0:  # a new process, the one that was to leave is gone
                self._excused += self._leaving and self._starts > 1
                self._leaving = False
            if self._starts <= 1 + self._max_failures + self._excused + (self._short_at is not None):
                return self._generation, self._job
            lost = self._starts - 1 - self._excused
            await self.fail(self._generation, f"its worker was lost {lost} times; max_failures is {self._max_failures}")

    async def may_run(self, generation: int, epoch: int) -> bool:
        """Wait until `epoch` is granted (True) or the job is superseded or closed (False)."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or generation != self._generation or self._granted >= epoch
            )
        return not self._closed and generation == self._generation

    async def post(self, generation: int, epoch: int, report: Report) -> None:
        if generation == self._generation:
            self._reports.setdefault(epoch, {**report, "restarts": self._starts - 1})
            await self._notify()

    async def fail(self, generation: int, reason: str) -> None:
        if generation == self._generation and self._failure is None:
            self._failure = reason
            await self._notify()

    async def report_oom(self, generation: int, reason: str) -> None:
        """The job may be started once more, in memory that was freed; a second time it has failed.

        Several ranks may say so of one start, which counts once.
        """
        if generation == self._generation:
            if self._short_at is None:
                self._short_at = self._starts
            elif self._short_at != self._starts:
                await self.fail(generation, f"out of memory again after everything else was freed: {reason}")
