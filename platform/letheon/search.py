"""The search of a sweep: Ray Tune runs what the conductor asks for, and asks it about every report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.data_facts import data_sets
from letheon.errors import LetheonError, did_you_mean
from letheon.pool import Pool, Ready
from letheon.preparation import Prepared, trial_config
from letheon.records import Row
from letheon.space import stratum
from letheon.stop_request import StopRequest
from trainables.evaluation.catalog import metric_info
from trainables.preload import collector_still

if TYPE_CHECKING:
    from letheon.conductor import SharedConductor
    from letheon.sweep import Sweep


class NotMeasured(LetheonError):
    """An objective that the evaluations of this benchmark do not have."""


_TOLD = (
    *("model_utility", "utility_ratio", "forget_quality", "forget_truth_ratio", "forget_rouge", "forget_probability"),
    *("extraction_strength", "retain_rouge"),
)


def conductor_of(sweep: Sweep, prepared: Prepared) -> SharedConductor:
    """The sweep's mind, opened from its journal when it is first asked."""
    from letheon.conductor import SharedConductor

    return SharedConductor(sweep.spec, sweep.journal, baselines(prepared, "target"))


def tune_config(sweep: Sweep, prepared: Prepared, slot: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """What a slot must know of a trial, from the trial's row, and of itself."""
    from trainables.config import Hyperparameters

    name = row["trial"]
    hyper = Hyperparameters.model_validate(row["config"])
    config = trial_config(sweep.spec, prepared, name, hyper, sweep.trials / name)
    return {**config.model_dump(mode="json"), "slot": dict(slot)}


def baselines(prepared: Prepared, model: str) -> dict[str, dict[str, float]]:
    """Metrics of the `target` (epoch 0 of every trial) or `retain` model by stratum."""
    return {
        stratum(fraction): json.loads(artefact.path.read_text())[model]["metrics"]
        for fraction, artefact in prepared.baseline.items()
    }


def digests(prepared: Prepared) -> dict[str, Any]:
    """What all trials of a sweep stand on: data, target model and retain models by content."""
    return {
        "benchmark_digest": prepared.data,
        "target_digest": prepared.target.key,
        "retain_digest": {stratum(fraction): artefact.key for fraction, artefact in prepared.retain.items()},
    }


def facts(sweep: Sweep, prepared: Prepared) -> dict[str, Any]:
    """What the records must say of a sweep besides its file: what it ran on, by digest, and its golden standard."""
    workers, goals = sweep.spec.trial, sweep.goals
    told = dict.fromkeys((*_TOLD, goals.x.metric, goals.y.metric))
    return {
        **digests(prepared),
        "baseline": {stratum(fraction): artefact.path.name for fraction, artefact in prepared.baseline.items()},
        "world_size": workers.workers,
        "gpus_per_trial": workers.workers * workers.gpus,
        "seeds": list(sweep.spec.seeds),
        "data": data_sets(sweep.spec, prepared),
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


@dataclass
class Places:
    """Called: how many trials may run at once now. Those whose workers are still starting would only wait in a slot."""

    room: Callable[[], int]
    ready: Ready

    def __call__(self) -> int:
        ready, room = self.ready(), self.room()
        return min(room, ready) if ready < len(self.ready.mailboxes) else room


def search(
    folder: Path,
    conductor: SharedConductor,
    configure: Callable[[Mapping[str, Any], Row], dict[str, Any]],
    room: Callable[[], int],
    pool: Pool,
    max_failures: int,
    stop: StopRequest,
) -> None:
    """Run trials in the pool's workers until the conductor has no more, as many at a time as there is room for.

    `folder`: the sweep's. `configure`: from a slot's settings and a trial's row to what Tune hands to the slot.

    Raises:
        Stopped: there is a request to stop. Trials are left as they are, for whoever closes the pool and Ray.
    """
    with collector_still():
        from ray import tune

        from letheon.credentials import HiddenCredentials
        from letheon.disk import require_room
        from letheon.lost_nodes import LostNodes
        from letheon.pointers import OldPointers
        from letheon.schedulers.adapter import JournalScheduler
        from letheon.search_stopper import SearchStopper
        from letheon.searchers.adapter import JournalSearcher
        from letheon.slot import Slot

    credentials = HiddenCredentials()
    storage = folder / "tune"
    slot = {"residents": pool.names, **pool.settings.to_json()}
    shutil.rmtree(storage, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(Slot, {"node:__internal_head__": 0.001}),
        tune_config=tune.TuneConfig(
            search_alg=JournalSearcher(conductor, partial(configure, slot), Places(room, pool.ready)),
            scheduler=JournalScheduler(conductor, partial(require_room, folder)),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="experiment",
            storage_path=str(storage),
            verbose=0,
            stop=SearchStopper(stop),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            failure_config=tune.FailureConfig(max_failures=max_failures),
            callbacks=[LostNodes(), OldPointers(), credentials],
        ),
    )
    try:
        tuner.fit()
    finally:
        credentials.restore()
    if not conductor().finished:  # Tune has also a signal of its own
        stop.request("SIGUSR1")
        stop.check()


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"])
