"""The resident Ray Train worker: takes one job after another from its mailbox until the mailbox closes.

The only file here that knows Ray. Rank 0 speaks to the mailbox, an actor found by name; the others follow it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

NAMESPACE = "letheon"


class MailboxChannel:
    """`loop.Channel` over the mailbox actor."""

    def __init__(self, mailbox: Any, generation: int) -> None:
        self._mailbox, self._generation = mailbox, generation

    def may_run(self, epoch: int) -> bool:
        import ray

        return bool(ray.get(self._mailbox.may_run.remote(self._generation, epoch)))

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        import ray

        ray.get(self._mailbox.post.remote(self._generation, epoch, metrics))


def serve(settings: dict[str, Any]) -> None:
    """Ray Train's `train_loop_per_worker`. `settings`: `mailbox` (actor), `log` (path prefix), `threads` a worker."""
    import ray
    import ray.train
    import ray.train.torch
    import torch

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    _redirect_output(Path(f"{settings['log']}-rank{rank}.log"))
    torch.set_num_threads(settings["threads"])

    from trainables.group import Group

    group, resident = Group(rank, size, ray.train.torch.get_device()), cache(_resident)
    mailbox = ray.get_actor(settings["mailbox"], namespace=NAMESPACE) if rank == 0 else None
    done = 0
    while True:
        mine: Any = ray.get(mailbox.next_job.remote(done)) if mailbox is not None else None
        job = group.gather([mine])[0]
        if job is None:
            return
        done, content = job
        try:
            _run(content, resident, group, MailboxChannel(mailbox, done))
        except Exception as error:
            traceback.print_exc()
            if mailbox is not None:
                ray.get(mailbox.fail.remote(done, f"{type(error).__name__}: {error}"))
            if size > 1 or _is_poisoned(error):
                # The other ranks wait in a collective, or the device is lost: Ray Train starts the group anew.
                raise
            _free(error)


def _resident() -> Any:
    from trainables.resident import Resident

    return Resident()


def _run(content: dict[str, Any], resident: Callable[[], Any], group: Any, channel: MailboxChannel) -> None:
    from trainables.jobs import JOB
    from trainables.synthetic.run import run_synthetic

    job = JOB.validate_python(content)
    # Needs nothing of what language models need, whose imports take seconds.
    if not run_synthetic(job, group, channel):
        _run_on_models(job, resident(), group, channel)


def _run_on_models(job: Any, resident: Any, group: Any, channel: MailboxChannel) -> None:
    from trainables.audit.job import AuditJob
    from trainables.jobs import BaseJob, BaselineJob, FinetuneJob
    from trainables.loop import run_trial
    from trainables.prepare import finetune, make_base, make_baseline

    facts: dict[str, Any] = {}
    if isinstance(job, BaseJob):
        if group.rank == 0:
            make_base(job)
        group.barrier()
    elif isinstance(job, FinetuneJob):
        facts = finetune(job, group)
    elif isinstance(job, BaselineJob):
        make_baseline(job, resident, group)
    elif isinstance(job, AuditJob):
        from trainables.audit.run import run_audit

        facts = run_audit(job, resident, group)["metrics"]
    else:
        run_trial(job.config, resident, group, channel)
        return
    if group.rank == 0:
        channel.report(1, facts)


def _is_poisoned(error: Exception) -> bool:
    """After a CUDA error other than out-of-memory every further call in the process fails."""
    return "CUDA error" in str(error)


def _free(error: Exception) -> None:
    import gc

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
