"""Runs one job: picks the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.runtime.channel import Channel


def _resident() -> Any:
    from trainables.inputs.cache import WorkerCache

    return WorkerCache()


def _run(content: dict[str, Any], resident: Callable[[], Any], group: Any, channel: Channel) -> None:
    from trainables.jobs.specs import JOB
    from trainables.jobs.synthetic import run_synthetic

    job = JOB.validate_python(content)
    # Needs nothing of what language models need, whose imports take seconds.
    if not run_synthetic(job, group, channel):
        _run_on_models(job, resident(), group, channel)


def _run_on_models(job: Any, resident: Any, group: Any, channel: Channel) -> None:
    from trainables.audit.job import AuditJob
    from trainables.jobs.prepare import finetune, make_base, make_baseline
    from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob, workers_of
    from trainables.model.gpu_share import cap_process_memory
    from trainables.training.trial import run_trial

    workers = workers_of(job)
    if workers is not None:
        cap_process_memory(workers, str(group.device))
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
