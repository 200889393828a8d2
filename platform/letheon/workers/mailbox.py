"""Actor that relays jobs, epoch grants and reports between a driver and a worker group.

It holds state, not a queue: every call names its generation and epoch, so a call that is repeated after a crash changes
nothing. Independent of what jobs do.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

Report = dict[str, Any]


class Mailbox:
    """An asynchronous Ray actor (`ray.remote(Mailbox)`); waiting calls cost nothing.

    Args:
        max_failures: how many times a job may be restarted after its worker was lost.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._changed = asyncio.Condition()
        self._generation = 0
        self._job: dict[str, Any] | None = None
        self._granted = 0
        self._starts = 0
        self._first_oom_start: int | None = None
        self._preempted_starts = 0  # not counted as failures
        self._worker: Any = None
        self._preempted = False
        self._reports: dict[int, Report] = {}
        self._failure: str | None = None
        self._progress: dict[str, Any] = {}
        self._granted_at = self._heard_at = 0.0
        self._holder: str | None = None
        self._ready = self._closed = False
        self._ended: str | None = None

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- who holds the workers

    async def claim(self, holder: str, instead_of: str | None = None) -> str | None:
        """Make `holder` the only one who may submit jobs, unless there is another. Returns the current holder.

        `instead_of`: a holder that is known to be dead. Returns None if the workers have ended.
        """
        if self._closed or self._ended is not None:
            return None
        if self._holder in (None, instead_of):
            self._holder = holder
        return self._holder

    async def release(self, holder: str) -> None:
        """Give the workers back and abandon the current job, if `holder` has them."""
        if self._holder == holder:
            self._holder, self._job = None, None
            self._generation += 1
            await self._notify()

    async def is_open(self) -> bool:
        """Whether workers can still take a job."""
        return not self._closed and self._ended is None

    async def is_ready(self) -> bool:
        """Whether the workers are ready or have ended, so that waiting is over."""
        return self._ready or self._ended is not None

    async def wait_until_ready(self) -> None:
        """Wait until the workers have imported what jobs need, or have ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready or self._closed or self._ended is not None)

    async def end(self, reason: str) -> None:
        """The Train run is over: no more reports."""
        self._ended = reason
        await self._notify()

    # -- calls of the driver

    async def submit(self, job: dict[str, Any]) -> int:
        """Make `job` the current one; the previous job is abandoned at its next report. Returns the generation."""
        self._generation += 1
        self._job, self._granted, self._starts, self._reports, self._failure = job, 0, 0, {}, None
        self._first_oom_start, self._preempted_starts, self._progress = None, 0, {}
        await self._notify()
        return self._generation

    async def grant(self, generation: int, epoch: int) -> None:
        """Allow the job to run up to and including `epoch`."""
        if generation == self._generation:
            if epoch > self._granted:
                self._granted, self._granted_at, self._progress = epoch, time.time(), {}
            await self._notify()

    async def wait_for_report(self, generation: int, epoch: int) -> Report:
        """Wait for the report of `epoch`.

        `{"failed": reason}` if the job has failed or is no longer current, `{"ended": reason}` if the workers ended.
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

    async def activity(self) -> dict[str, Any] | None:
        """What the workers do now; None if they wait for a job, a grant or the end.

        `job`; `epoch`; `since`: when it was granted. `progress`: the worker's last report, from the time `heard` (both
        in unix seconds), empty before the first. `ready`: whether the workers have started.
        """
        waits = self._job is None or not self._granted or self._granted in self._reports
        if waits or self._failure is not None or self._closed or self._ended is not None:
            return None
        return {
            "job": self._job,
            "epoch": self._granted,
            "since": self._granted_at,
            "progress": self._progress,
            "heard": max(self._heard_at, self._granted_at),
            "ready": self._ready,
        }

    async def starts(self) -> int:
        """How often workers have taken the current job: 1 plus its restarts."""
        return self._starts

    async def worker(self) -> Any:
        """The actor of rank 0, None before the first one has started."""
        return self._worker

    async def close(self) -> None:
        self._closed = True
        await self._notify()

    # -- calls of the workers: rank 0, except `fail` and `report_oom`

    async def register_worker(self, worker: Any) -> None:
        """This actor is rank 0 from now on."""
        self._worker = worker

    async def announce_preemption(self) -> None:
        """A node of the workers will be removed soon: they end after the current epoch and restart on another node.

        The restart does not count as a failure, even if the node is gone before the epoch ends.
        """
        self._preempted = True

    async def is_preempted(self) -> bool:
        """Whether the workers must end instead of starting another epoch."""
        return self._preempted

    async def set_ready(self) -> None:
        """Rank 0 has imported what jobs need."""
        self._ready = True
        await self._notify()

    async def next_job(self, after: int) -> tuple[int, dict[str, Any]] | None:
        """Wait for a job newer than generation `after`; None once the mailbox is closed.

        A new process passes 0 and so gets the current job again, as a restart of it.
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
            self._progress = {}  # of a process that is gone
            if after == 0:  # a new process; the preempted one is gone
                self._preempted_starts += self._preempted and self._starts > 1
                self._preempted = False
            restarts = self._starts - 1 - self._preempted_starts
            if restarts <= self._max_failures + (self._first_oom_start is not None):
                return self._generation, self._job
            reason = f"its worker was lost {restarts} times; max_failures is {self._max_failures}"
            await self.fail(self._generation, reason)

    async def may_run(self, generation: int, epoch: int) -> bool:
        """Wait until `epoch` is granted (True), or the job is superseded or closed (False)."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or generation != self._generation or self._granted >= epoch
            )
        return not self._closed and generation == self._generation

    async def post(self, generation: int, epoch: int, report: Report) -> None:
        if generation == self._generation:
            self._reports.setdefault(epoch, {**report, "restarts": self._starts - 1})
            await self._notify()

    async def note_progress(self, generation: int, progress: dict[str, Any]) -> None:
        """What the worker does now; only the newest is kept."""
        if generation == self._generation:
            self._progress, self._heard_at = progress, time.time()

    async def fail(self, generation: int, reason: str) -> None:
        if generation == self._generation and self._failure is None:
            self._failure = reason
            await self._notify()

    async def report_oom(self, generation: int, reason: str) -> None:
        """Allow one more start, in freed memory; the second time the job fails.

        Reports of several ranks about the same start count once.
        """
        if generation == self._generation:
            if self._first_oom_start is None:
                self._first_oom_start = self._starts
            elif self._first_oom_start != self._starts:
                await self.fail(generation, f"out of memory again after everything else was freed: {reason}")
