"""The Ray Train worker: runs one job after another from its mailbox until the mailbox closes.

The only module of `trainables` that imports Ray. Rank 0 calls the mailbox, an actor that it finds by name, and passes
each job on to the other ranks.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from trainables.config import PluginConfig
from trainables.jobs.dispatch import new_cache, run_job
from trainables.jobs.preload import preload
from trainables.plugins.load import methods_of
from trainables.runtime.events import mark
from trainables.runtime.imports import gc_paused
from trainables.runtime.progress import sending

NAMESPACE = "letheon"
REASON_CHARACTERS = 2_000
NOTICE_SECONDS = 2.0


class Preempted(Exception):
    """The node will be removed soon: this process ends between two epochs, and Ray Train starts one elsewhere."""


class MailboxChannel:
    """`runtime.channel.Channel` over the mailbox actor."""

    def __init__(self, mailbox: Any, generation: int) -> None:
        self._mailbox, self._generation = mailbox, generation

    def may_run(self, epoch: int) -> bool:
        import ray

        allowed = bool(ray.get(self._mailbox.may_run.remote(self._generation, epoch)))
        if allowed and ray.get(self._mailbox.is_preempted.remote()):
            raise Preempted(f"before epoch {epoch}: continuing on another node")
        return allowed

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        import ray

        ray.get(self._mailbox.post.remote(self._generation, epoch, metrics))

    def tell(self, progress: dict[str, Any]) -> None:
        """Pass on what a `progress.Stage` sends. Waits for nobody."""
        self._mailbox.note_progress.remote(self._generation, progress)


def serve(settings: dict[str, Any]) -> None:
    """Ray Train's `train_loop_per_worker`.

    `settings`: `mailbox` (name of the actor), `log` (path prefix), `threads` per worker, `preload` (import at once what
    language models need), `watch` (leave a node that is being preempted), `plugins` (the sweep's own code).
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
        threading.Thread(target=_watch_for_preemption, args=(mailbox, rank), name="preemption", daemon=True).start()
    mark("worker joined its group")
    if settings["preload"]:
        with gc_paused():
            preload()
    # Imported objects stay, so the collections after each job need not scan them. Collecting now would take 0.25 s and
    # free a few MB.
    gc.freeze()
    if rank == 0:
        mailbox.set_ready.remote()
    mark("worker is ready")
    _run_jobs(mailbox, group, resident, [PluginConfig(**each) for each in settings["plugins"]])


def _run_jobs(mailbox: Any, group: Any, resident: Any, plugins: Sequence[PluginConfig]) -> None:
    """Run jobs until the mailbox closes. Raises what Ray Train has to restart this process for.

    Every job fails if a plug-in is not as it was checked, so that a sweep does not prepare for trials that cannot run.
    """
    import ray

    rank, size = group.rank, group.size
    done = 0
    while True:
        mine: Any = ray.get(mailbox.next_job.remote(done)) if rank == 0 else None
        job = group.gather([mine])[0]
        if job is None:
            return
        done, content = job
        mark(f"{content['kind']} taken")
        try:
            channel = MailboxChannel(mailbox, done)
            methods_of(plugins)
            with sending(channel.tell if rank == 0 else None):
                run_job(content, resident, group, channel)
        except Exception as error:
            with suppress(OSError):  # the log may be on the full disk that made the job fail
                traceback.print_exc()
            if isinstance(error, Preempted) or (size > 1 and _is_lost_peer(error)):
                raise  # not this process's fault; the mailbox counts the restart that follows
            again = _report_failure(error, mailbox, done, content)
            if size > 1 or _device_is_lost(error):
                raise  # the other ranks hang in a collective, or the device is lost: Ray Train restarts the group
            if again:
                resident.cache_clear()
                done -= 1  # the mailbox hands out the same job once more
            _free_memory(error)
        # Engines are in reference cycles. Python collects less often as the heap grows, so dozens would pile up.
        gc.collect()


def _watch_for_preemption(mailbox: Any, rank: int) -> None:
    """Inform the mailbox, once, that a node of this group will be removed soon. A collective call of all ranks."""
    import ray.train

    with suppress(Exception):  # the group may end while this rank waits for the others
        while ray.train.get_preemption_info() is None:
            time.sleep(NOTICE_SECONDS)
        if rank == 0:
            mailbox.announce_preemption.remote()


def _report_failure(error: Exception, mailbox: Any, generation: int, content: dict[str, Any]) -> bool:
    """Fail the job, or report that it ran out of memory; returns whether it did."""
    import ray

    reason = f"{type(error).__name__}: {str(error)[:REASON_CHARACTERS]}"  # the log has all of it
    if not _is_out_of_memory(error):
        ray.get(mailbox.fail.remote(generation, reason))
        return False
    reason = _gpu_share_message(content) or f"{reason} (peak {_peak_gib():.1f} GiB)"
    ray.get(mailbox.report_oom.remote(generation, reason))
    return True


def _gpu_share_message(content: dict[str, Any]) -> str | None:
    """The out-of-memory message of a job that had a share of a GPU, else None."""
    import torch

    from trainables.jobs.specs import JOB, workers_of
    from trainables.model.gpu_share import oom_message

    workers = workers_of(JOB.validate_python(content))
    if workers is None or not torch.cuda.is_available():
        return None
    return oom_message(workers, torch.cuda.get_device_properties(0).total_memory, torch.cuda.max_memory_allocated())


def _is_out_of_memory(error: Exception) -> bool:
    """On a device or on the CPU, whose allocator raises a plain RuntimeError."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _peak_gib() -> float:
    """Peak memory of this process: on its GPU, or its resident set without one."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _is_lost_peer(error: Exception) -> bool:
    """Whether a collective failed because another process of the group is gone. Gloo raises a plain RuntimeError."""
    import torch

    return isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error)


def _device_is_lost(error: Exception) -> bool:
    """After a CUDA error other than out-of-memory every further CUDA call of the process fails."""
    return "CUDA error" in str(error)


def _free_memory(error: Exception) -> None:
    import torch

    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _redirect_output(path: Path) -> None:
    """Send all output of this process, including that of C libraries, to the sweep's own log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
