"""Derives what a search needs from the prepared artifacts: baselines, digests, facts, each trial's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from letheon.common.errors import LetheonError, did_you_mean
from letheon.journal import Row, stratum_of
from letheon.pareto.objectives import is_probe
from letheon.preparation.artifacts import Prepared
from letheon.preparation.datasets import data_sets
from letheon.preparation.retain_logs import log_notes
from letheon.sweep.trial_config import trial_config
from trainables.evaluation.metrics.catalog import metric_info

if TYPE_CHECKING:
    from letheon.search.controller import SharedController
    from letheon.sweep.sweep import Sweep


class NotMeasured(LetheonError):
    """The evaluations of this benchmark do not have an objective."""


_RETAIN_METRICS = (
    *("model_utility", "utility_ratio", "forget_quality", "forget_truth_ratio", "forget_rouge", "forget_probability"),
    *("extraction_strength", "retain_rouge"),
)


def controller_of(sweep: Sweep, prepared: Prepared) -> SharedController:
    """The sweep's controller, opened from its journal on first use."""
    from letheon.search.controller import SharedController

    return SharedController(sweep.spec, sweep.journal, baselines(prepared, "target"))


def tune_config(sweep: Sweep, prepared: Prepared, slot: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """A slot's Tune configuration, from its own settings and the trial's row."""
    from trainables.config import Hyperparameters

    name = row["trial"]
    hyper = Hyperparameters.model_validate(row["config"])
    config = trial_config(sweep.spec, prepared, name, hyper, sweep.trials / name)
    return {**config.model_dump(mode="json"), "slot": dict(slot)}


def baselines(prepared: Prepared, model: str) -> dict[str, dict[str, float]]:
    """Metrics of the `target` (epoch 0 of every trial) or `retain` model by stratum."""
    return {
        stratum_of(fraction): json.loads(artifact.path.read_text())[model]["metrics"]
        for fraction, artifact in prepared.baseline.items()
    }


def digests(prepared: Prepared) -> dict[str, Any]:
    """Digests of a sweep's inputs: data, target model and retain models."""
    return {
        "benchmark_digest": prepared.data,
        "target_digest": prepared.target.key,
        "retain_digest": {stratum_of(fraction): artifact.key for fraction, artifact in prepared.retain.items()},
    }


def facts(sweep: Sweep, prepared: Prepared) -> dict[str, Any]:
    """Facts for the records that the sweep file lacks: digests of inputs, resources, metrics of the retain models."""
    workers, goals = sweep.spec.trial, sweep.goals
    recorded = dict.fromkeys((*_RETAIN_METRICS, *(axis.metric for axis in goals.axes)))
    return {
        **digests(prepared),
        "baseline": {stratum_of(fraction): artifact.path.name for fraction, artifact in prepared.baseline.items()},
        "world_size": workers.workers,
        "gpus_per_trial": workers.workers * workers.gpus,
        "seeds": list(sweep.spec.seeds),
        "retain_log": log_notes(sweep.spec),
        "data": data_sets(sweep.spec, prepared),
        "retain": {
            key: {name: metrics[name] for name in recorded if name in metrics}
            for key, metrics in baselines(prepared, "retain").items()
        },
    }


def require_objectives(sweep: Sweep, prepared: Prepared) -> None:
    """Raises NotMeasured if the target model's evaluation, the same as that of trials, lacks an objective.

    What only a probe measures cannot be missing there (`rules_objectives`).
    """
    goals = sweep.goals.search_goals
    for fraction, metrics in baselines(prepared, "target").items():
        for name in (axis.metric for axis in goals.axes):
            if name not in metrics and not is_probe(name):
                hint = did_you_mean(name, [known for known in metrics if metric_info(known)])
                rule = f"benchmark {sweep.spec.benchmark.name} does not measure it at fraction {fraction}"
                raise NotMeasured(f"objectives.{name}: {rule}; {hint}")
