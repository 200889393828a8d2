"""What a trial is told of the decision that follows an epoch, so that its evaluations go no deeper than that needs.

Plain data made of scheduler and goals; trials apply it (`trainables.evaluation.candidates`) without knowing either.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import from_scratch

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from trainables.config import TrialConfig

import math
from typing import TYPE_CHECKING

from letheon.pareto.objectives import Goals, Limit
from letheon.spec.rules_objectives import goals_of

if TYPE_CHECKING:
    from letheon.schedulers.config import SchedulerConfig
    from letheon.spec.model import SweepSpec
    from trainables.config import DecisionConfig, LimitConfig


def decision_config(spec: SweepSpec) -> DecisionConfig | None:
    """None where every epoch is evaluated whole.

    So it is, whatever the file says, with several seeds: the means of their metrics have a front of their own, whose
    points no single trial can tell; and in the synthetic experiment, whose metrics all come from one pass.
    """
    from trainables.synthetic.name import SYNTHETIC

    if spec.scheduler.evaluate == "full" or len(spec.seeds) > 1 or spec.benchmark.name == SYNTHETIC:
        return None
    return decision(spec.scheduler, goals_of(spec))


def decision(scheduler: SchedulerConfig, goals: Goals) -> DecisionConfig:
    """What the scheduler and the front read of a report.

    Goals that need audits choose among the front that the search found, so what may be on theirs may be on that.
    """
    from trainables.config import DecisionConfig

    seen = goals.search_goals
    read = (axis.metric for axis in seen.axes)
    metrics = (*scheduler.required(seen), *read, "utility_ratio", *(limit.metric for limit in seen.all_limits))
    return DecisionConfig(
        metrics=tuple(dict.fromkeys(metrics)),
        objectives=tuple((axis.metric, axis.better) for axis in seen.axes),
        limits=tuple(map(_limit, seen.all_limits)),
        floor=seen.floor,
    )


def _limit(limit: Limit) -> LimitConfig:
    from trainables.config import LimitConfig

    low, high = (end if math.isfinite(end) else None for end in (limit.low, limit.high))
    return LimitConfig(
        metric=limit.metric, low=low, high=high, scale=limit.scale, optional=limit.optional, when=limit.when
    )


def trial_config(spec: SweepSpec, prepared: Prepared, name: str, hyperparameters: Any, folder: Path) -> TrialConfig:
    """The complete configuration of one trial."""
    pass
    from trainables.config import TrialConfig

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
        decision=decision_config(spec),
    )
