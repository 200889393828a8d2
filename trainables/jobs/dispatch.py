"""Runs one job: calls the function for its kind. Imports torch only when a job needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainables.runtime.progress import Stage

if TYPE_CHECKING:
    from trainables.inputs.cache import WorkerCache
    from trainables.runtime.channel import Channel
    from trainables.runtime.ranks import Group


def new_cache() -> WorkerCache:
    """An empty cache of models and rows for one worker."""
    from trainables.inputs.cache import WorkerCache

    return WorkerCache()


def run_job(content: dict[str, Any], cache: Callable[[], WorkerCache], group: Group, channel: Channel) -> None:
    """Run the job in `content` (JSON of `specs.Job`) and report its results. `cache` gives the worker's cache."""
    from trainables.jobs.specs import JOB
    from trainables.jobs.synthetic import run_synthetic

    job = JOB.validate_python(content)
    # Synthetic jobs do not need the imports for language models, which take seconds.
    if not run_synthetic(job, group, channel):
        Stage("loading")
        _run_on_models(job, cache(), group, channel)


def _run_on_models(job: Any, cache: WorkerCache, group: Group, channel: Channel) -> None:
    from trainables.audit.job import AuditJob
    from trainables.jobs.prepare import finetune, make_base, make_baseline
    from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob, SpeedJob, workers_of
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
        make_baseline(job, cache, group)
    elif isinstance(job, AuditJob):
        from trainables.audit.run import run_audit

        facts = run_audit(job, cache, group)["metrics"]
    elif isinstance(job, SpeedJob):
        from trainables.jobs.speeds import measure_speeds

        facts = {"speeds": measure_speeds(job, cache, group).model_dump(mode="json")}
    else:
        from trainables.audit.probe import probe

        run_trial(job.config, cache, group, channel, probe)
        return
    if group.rank == 0:
        channel.report(1, facts)
