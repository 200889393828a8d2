"""Runs the jobs of the synthetic experiment. Imports torch only for those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainables.jobs.specs import TrialJob
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob

if TYPE_CHECKING:
    from trainables.runtime.channel import Channel
    from trainables.runtime.ranks import Group


def run_synthetic(job: Any, group: Group, channel: Channel) -> bool:
    """Run and report a job of the synthetic experiment; returns False for other jobs.

    Raises ValueError for more than one worker.
    """
    is_trial = isinstance(job, TrialJob) and job.config.benchmark.name == "synthetic"
    if not is_trial and not isinstance(job, SyntheticModelsJob | SyntheticBaselineJob):
        return False
    if group.size > 1:
        raise ValueError(
            f"workers {group.size} must be 1: the synthetic experiment runs in one process; set trial.workers: 1"
        )
    if isinstance(job, TrialJob):
        from trainables.synthetic.loop import run_trial

        run_trial(job.config, channel)
        return True
    from trainables.synthetic.prepare import make_baseline, make_models

    facts: dict[str, float] = {}
    if isinstance(job, SyntheticModelsJob):
        facts = make_models(job)
    else:
        make_baseline(job)
    channel.report(1, facts)
    return True
