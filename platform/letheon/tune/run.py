"""The search of a sweep: Ray Tune runs the sweep controller's trials and passes it every report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.common.stop_request import StopRequest
from letheon.journal import Row
from letheon.workers.pool import Pool, ReadyCounter
from trainables.runtime.imports import gc_paused

if TYPE_CHECKING:
    from letheon.search.controller import SharedController


@dataclass
class FreeSlots:
    """Call it for how many trials may run at once now, without the slots whose workers are still starting."""

    slots: Callable[[], int]
    ready: ReadyCounter

    def __call__(self) -> int:
        ready, slots = self.ready(), self.slots()
        return min(slots, ready) if ready < len(self.ready.mailboxes) else slots


def search(
    folder: Path,
    controller: SharedController,
    configure: Callable[[Mapping[str, Any], Row], dict[str, Any]],
    slots: Callable[[], int],
    pool: Pool,
    max_failures: int,
    stop: StopRequest,
) -> None:
    """Run trials in the pool's workers until the controller has no more, at most `slots()` at once.

    `folder`: the sweep's. `configure`: makes a trial's Tune configuration from the slot's settings and the trial's row.

    Raises:
        Stopped: there is a request to stop. The running trials end when the pool and Ray are closed.
    """
    with gc_paused():
        from ray import tune

        from letheon.common.disk import raise_if_disk_full
        from letheon.tune.callbacks import HiddenCredentials, LostNodes, PruneTuneCheckpoints, SearchStopper
        from letheon.tune.scheduler import JournalScheduler
        from letheon.tune.searcher import JournalSearcher
        from letheon.tune.slot import Slot

    credentials = HiddenCredentials()
    storage = folder / "tune"
    slot = {"groups": pool.names, "settings": pool.settings}
    shutil.rmtree(storage, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(Slot, {"node:__internal_head__": 0.001}),
        tune_config=tune.TuneConfig(
            search_alg=JournalSearcher(controller, partial(configure, slot), FreeSlots(slots, pool.ready)),
            scheduler=JournalScheduler(controller, partial(raise_if_disk_full, folder)),
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
    if not controller().finished:  # Tune also stops by a signal of its own
        stop.request("SIGUSR1")
        stop.check()


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"])
