"""Makes a trial's configuration, including the decision that follows each epoch, which sets the evaluation's depth.

The decision is plain data from scheduler and goals, which `trainables.evaluation.candidates` applies.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.pareto.objectives import Goals, Limit
from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import from_scratch
from letheon.spec.rules_objectives import goals_of
from trainables.audit.summary import measured_by
from trainables.config import DecisionConfig, Hyperparameters, LimitConfig, ProbePlan, TrialConfig
from trainables.synthetic.name import SYNTHETIC

if TYPE_CHECKING:
    from letheon.schedulers.config import SchedulerConfig
    from letheon.spec.model import SweepSpec


def decision_config(spec: SweepSpec) -> DecisionConfig | None:
    """The decision after each epoch; None if every epoch is evaluated in full and keeps its weights.

    So it is with several seeds, since the means over seeds have a front of their own, which a single trial cannot
    compute, and in the synthetic experiment, whose metrics all come from one pass.
    """
    if len(spec.seeds) > 1 or spec.benchmark.name == SYNTHETIC:
        return None
    return decision(spec.scheduler, goals_of(spec))


def decision(scheduler: SchedulerConfig, goals: Goals) -> DecisionConfig:
    """The parts of a report that scheduler and front read.

    Audits only choose among the points of the search's front, so its goals suffice.
    """
    search = goals.search_goals
    axes = (axis.metric for axis in search.axes)
    metrics = (*scheduler.required(search), *axes, "utility_ratio", *(limit.metric for limit in search.all_limits))
    return DecisionConfig(
        full=scheduler.evaluate == "full",
        metrics=tuple(dict.fromkeys(metrics)),
        objectives=tuple((axis.metric, axis.better) for axis in search.axes),
        limits=tuple(map(_limit, search.all_limits)),
        floor=search.floor,
    )


def _limit(limit: Limit) -> LimitConfig:
    low, high = (end if math.isfinite(end) else None for end in (limit.low, limit.high))
    return LimitConfig(
        metric=limit.metric, low=low, high=high, scale=limit.scale, optional=limit.optional, when=limit.when
    )


def trial_config(
    spec: SweepSpec, prepared: Prepared, name: str, hyperparameters: Hyperparameters, folder: Path
) -> TrialConfig:
    """The complete configuration of one trial; `folder` is the trial's own."""
    return TrialConfig(
        trial=name,
        hyperparameters=hyperparameters,
        max_epochs=spec.scheduler.max_epochs,
        benchmark=spec.benchmark,
        with_general=from_scratch(spec),
        workers=spec.trial.workers_config,
        evaluation=spec.evaluation,
        target=str(prepared.target.path),
        target_digest=prepared.target.key,
        template=prepared.template,
        reference_cache=str(prepared.reference_cache),
        baseline=str(prepared.baseline[hyperparameters.forget_fraction].path),
        compat=spec.trial.compat,
        lora=spec.trial.lora,
        refusals=spec.trial.refusals,
        folder=str(folder),
        verdict=spec.verdict,
        plugins=spec.plugins,
        decision=decision_config(spec),
        probe=probe_plan(spec),
    )


def probe_plan(spec: SweepSpec) -> ProbePlan | None:
    """When and how trials are probed; None if they are not."""
    settings = spec.scheduler.probe
    if settings is None:
        return None
    return ProbePlan(
        settings=settings,
        epochs=spec.scheduler.probe_epochs,
        metrics=tuple(measured_by(settings.attacks)),
        recipe=spec.model.recipe,
    )
