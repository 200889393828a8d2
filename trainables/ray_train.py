"""The resident Ray Train worker: takes one job after another from its mailbox until the mailbox closes.

The only file here that knows Ray. Rank 0 speaks to the mailbox, an actor found by name; the others follow it.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.jobs.dispatch import new_cache, run_job
from trainables.jobs.preload import preload
from trainables.runtime.events import mark
from trainables.runtime.imports import gc_paused

if TYPE_CHECKING:
    pass

NAMESPACE = "letheon"
REASON_CHARACTERS = 2_000
NOTICE_SECONDS = 2.0


class NodeLeaves(Exception):
    """The node will be gone soon: this process ends between two epochs, and Ray Train starts one elsewhere."""


class MailboxChannel:
    """`loop.Channel` over the mailbox actor."""

    def __init__(self, mailbox: Any, generation: int) -> None:
        self._mailbox, self._generation = mailbox, generation

    def may_run(self, epoch: int) -> bool:
        import ray

        allowed = bool(ray.get(self._mailbox.may_run.remote(self._generation, epoch)))
        if allowed and ray.get(self._mailbox.leaving.remote()):
            raise NodeLeaves(f"before epoch {epoch}: continuing elsewhere")
        return allowed

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        import ray

        ray.get(self._mailbox.post.remote(self._generation, epoch, metrics))


def serve(settings: dict[str, Any]) -> None:
    """Ray Train's `train_loop_per_worker`.

    `settings`: `mailbox` (actor), `log` (path prefix), `threads` per worker, `preload` (import what models need at
    once), `watch` (leave a node that is about to be taken away).
    """
    import ray
    import ray.train
    import ray.train.torch
    import torch

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    _redirect_output(Path(f"{settings['log']}-rank{rank}.log"))
    torch.set_num_threads(settings["threads"])

    from trainables.runtime.ranks import Group

    group, resident = Group(rank, size, ray.train.torch.get_device()), cache(new_cache)
    mailbox: Any = ray.get_actor(settings["mailbox"], namespace=NAMESPACE)
    if not ray.get(mailbox.is_open.remote()):
        return
    if rank == 0:
        ray.get(mailbox.register_worker.remote(ray.get_runtime_context().current_actor))
    if settings["watch"]:
        threading.Thread(target=_watch, args=(mailbox, rank), name="notices", daemon=True).start()
    mark("worker joined its group")
    if settings["preload"]:
        with gc_paused():
            preload()
    # What was imported stays: who looks for garbage after every job need not look through it. Nor does it pay to look
    # now, for a quarter of a second: there are a few MB.
    gc.freeze()
    if rank == 0:
        mailbox.ready.remote()
    mark("worker is ready")
    done = 0
    while True:
        mine: Any = ray.get(mailbox.next_job.remote(done)) if rank == 0 else None
        job = group.gather([mine])[0]
        if job is None:
            return
        done, content = job
        mark(f"{content['kind']} taken")
        try:
            run_job(content, resident, group, MailboxChannel(mailbox, done))
        except Exception as error:
            with suppress(OSError):  # the log may lie on the full disk that the job failed of
                traceback.print_exc()
            if isinstance(error, NodeLeaves) or (size > 1 and _is_lost_peer(error)):
                raise  # a node or another rank is at fault; the mailbox counts the restart that follows
            again = _tell(error, mailbox, done, content)
            if size > 1 or _is_poisoned(error):
                # The other ranks wait in a collective, or the device is lost: Ray Train starts the group anew.
                raise
            if again:
                resident.cache_clear()
                done -= 1  # the mailbox hands the same job out once more
            _free(error)
        # Engines refer to themselves. Python would look for them the more seldom the more there is in the process, and
        # dozens of models would lie about until then.
        gc.collect()


def _watch(mailbox: Any, rank: int) -> None:
    """Tell the mailbox, once, that a node of this group will be gone soon. All ranks look together."""
    import ray.train

    with suppress(Exception):  # the group ends while this rank waits for the others
        while ray.train.get_preemption_info() is None:
            time.sleep(NOTICE_SECONDS)
        if rank == 0:
            mailbox.leave.remote()


def _tell(error: Exception, mailbox: Any, generation: int, content: dict[str, Any]) -> bool:
    """Fail the job, unless it ran out of memory for the first time; returns whether it was memory."""
    import ray

    if not _is_out_of_memory(error):
        ray.get(mailbox.fail.remote(generation, _reason(error)))
        return False
    reason = f"{_reason(error)} (peak {_peak_gib():.1f} GiB)"
    ray.get(mailbox.report_oom.remote(generation, _overrun(content) or reason))
    return True


def _overrun(content: dict[str, Any]) -> str | None:
    """What to say where the job had a part of a GPU."""
    import torch

    from trainables.jobs.specs import JOB, workers_of
    from trainables.model.gpu_share import oom_message

    workers = workers_of(JOB.validate_python(content))
    if workers is None or not torch.cuda.is_available():
        return None
    return oom_message(workers, torch.cuda.get_device_properties(0).total_memory, torch.cuda.max_memory_allocated())


def _reason(error: Exception) -> str:
    """What the sweep is told; the whole of it is in the log."""
    return f"{type(error).__name__}: {str(error)[:REASON_CHARACTERS]}"


def _is_out_of_memory(error: Exception) -> bool:
    """On a device, or on the CPU, whose allocator raises a plain RuntimeError."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _peak_gib() -> float:
    """Most memory that this process had: of its device, on a CPU of its own."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _is_lost_peer(error: Exception) -> bool:
    """A collective broke off because a process at its other end is gone. Gloo raises a plain RuntimeError."""
    import torch

    return isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error)


def _is_poisoned(error: Exception) -> bool:
    """After a CUDA error other than out-of-memory every further call in the process fails."""
    return "CUDA error" in str(error)


def _free(error: Exception) -> None:
    import torch

    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _redirect_output(path: Path) -> None:
    """Everything this process prints, C libraries included, goes to the sweep's own log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
