"""The search of a sweep: its pending trials, handed to Ray Tune under the journal's scheduler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from letheon.errors import LetheonError, did_you_mean
from letheon.preparation import Prepared, trial_config
from letheon.records import Row
from letheon.space import sample, stratum, trial_count, trial_name
from trainables.evaluation.catalog import metric_info

if TYPE_CHECKING:
    from letheon.sweep import Sweep


class NotMeasured(LetheonError):
    """An objective that the evaluations of this benchmark do not have."""


_TOLD = ("model_utility", "utility_ratio", "forget_truth_ratio")


def ended_trials(rows: Sequence[Row]) -> set[str]:
    """Names of the trials that have an outcome."""
    return {row["trial"] for row in rows if row["kind"] == "end"}


def pending_trials(sweep: Sweep, prepared: Prepared, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Tune configurations of the trials that have not ended, in the order of their numbers."""
    ended = ended_trials(rows)
    slot = {"storage": str(sweep.folder / "train"), "logs": str(sweep.folder / "logs")}
    configs = []
    for index in range(trial_count(sweep.spec)):
        name = trial_name(index)
        if name not in ended:
            config = trial_config(sweep.spec, prepared, name, sample(sweep.spec, index), sweep.trials / name)
            configs.append({**config.model_dump(mode="json"), "slot": slot})
    return configs


def baselines(prepared: Prepared, model: str) -> dict[str, dict[str, float]]:
    """Metrics of the `target` (epoch 0 of every trial) or `retain` model by stratum."""
    return {
        stratum(fraction): json.loads(artefact.path.read_text())[model]["metrics"]
        for fraction, artefact in prepared.baseline.items()
    }


def facts(sweep: Sweep, prepared: Prepared) -> dict[str, Any]:
    """What the records must say of a sweep besides its file: what it ran on, by digest, and its golden standard."""
    workers, goals = sweep.spec.trial, sweep.goals
    told = dict.fromkeys((*_TOLD, goals.x.metric, goals.y.metric))
    return {
        "benchmark_digest": prepared.data,
        "target_digest": prepared.target.key,
        "retain_digest": {stratum(fraction): artefact.key for fraction, artefact in prepared.retain.items()},
        "world_size": workers.workers,
        "seeds": list(sweep.spec.seeds),
        "retain": {
            key: {name: metrics[name] for name in told if name in metrics}
            for key, metrics in baselines(prepared, "retain").items()
        },
    }


def require_objectives(sweep: Sweep, prepared: Prepared) -> None:
    """Raises NotMeasured if the data cannot support an objective: the target model was evaluated as trials will be."""
    goals = sweep.goals.before_audit
    for fraction, metrics in baselines(prepared, "target").items():
        for name in (goals.x.metric, goals.y.metric):
            if name not in metrics:
                there = did_you_mean(name, [known for known in metrics if metric_info(known)])
                rule = f"benchmark {sweep.spec.benchmark.name} does not give it at fraction {fraction}"
                raise NotMeasured(f"objectives.{name}: {rule}; {there}")


def search(sweep: Sweep, prepared: Prepared, pending: list[dict[str, Any]], slots: int) -> None:
    from ray import tune

    from letheon.schedulers.adapter import JournalScheduler
    from letheon.schedulers.config import SchedulerConfig
    from letheon.searcher import PendingTrials
    from letheon.slot import Slot

    storage = sweep.folder / "tune"
    shutil.rmtree(storage, ignore_errors=True)
    config = SchedulerConfig.model_validate(sweep.spec.scheduler.model_dump())
    tuner = tune.Tuner(
        tune.with_resources(Slot, {"node:__internal_head__": 0.001}),
        tune_config=tune.TuneConfig(
            search_alg=PendingTrials(pending),
            scheduler=JournalScheduler(config, sweep.journal, baselines(prepared, "target"), sweep.goals),
            num_samples=len(pending),
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="experiment",
            storage_path=str(storage),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2),
            failure_config=tune.FailureConfig(max_failures=sweep.spec.trial.max_failures),
        ),
    )
    tuner.fit()


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"])
