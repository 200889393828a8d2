"""The search of a sweep: Ray Tune runs what the conductor asks for, and asks it about every report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.common.stop_request import StopRequest
from letheon.journal import Row
from letheon.workers.pool import Pool, Ready
from trainables.runtime.imports import gc_paused

if TYPE_CHECKING:
    from letheon.search.controller import SharedController


@dataclass
class FreeSlots:
    """Called: how many trials may run at once now. Those whose workers are still starting would only wait in a slot."""

    room: Callable[[], int]
    ready: Ready

    def __call__(self) -> int:
        ready, room = self.ready(), self.room()
        return min(room, ready) if ready < len(self.ready.mailboxes) else room


def search(
    folder: Path,
    conductor: SharedController,
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
    with gc_paused():
        from ray import tune

        from letheon.common.disk import raise_if_disk_full
        from letheon.tune.callbacks import LostNodes, PruneTuneCheckpoints
        from letheon.tune.credentials import HiddenCredentials
        from letheon.tune.scheduler import JournalScheduler
        from letheon.tune.searcher import JournalSearcher
        from letheon.tune.slot import Slot
        from letheon.tune.stopper import SearchStopper

    credentials = HiddenCredentials()
    storage = folder / "tune"
    slot = {"residents": pool.names, **pool.settings.to_json()}
    shutil.rmtree(storage, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(Slot, {"node:__internal_head__": 0.001}),
        tune_config=tune.TuneConfig(
            search_alg=JournalSearcher(conductor, partial(configure, slot), FreeSlots(room, pool.ready)),
            scheduler=JournalScheduler(conductor, partial(raise_if_disk_full, folder)),
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
            callbacks=[LostNodes(), PruneTuneCheckpoints(), credentials],
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
