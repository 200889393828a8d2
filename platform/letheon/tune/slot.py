"""A Tune actor with resident Train workers; runs many trials, one at a time. One `step()` is one epoch.

The worker waits for each `step()` before it trains, so nothing runs ahead of the scheduler, and a pruned trial is
abandoned by not asking for its next epoch. The trial's own folder is the checkpoint; Tune's checkpoint only points to
an epoch in it.

A slot that nobody asks for anything gives its workers back: when nodes are lost, another one's trial waits for them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import OwnedWorkerGroup, WorkerGroup, claimed
from trainables.config import WorkersConfig
from trainables.jobs.specs import TrialJob
from trainables.runtime.events import mark
from trainables.runtime.imports import gc_paused

with gc_paused():
    from ray import tune

POINTER = "epoch.json"
IDLE_SECONDS = 20.0
"""Between two epochs there are milliseconds. Workers that were given back too early cost a start-up, nothing else."""

SHARED_SECONDS = 1.0
"""The same for workers that stay as they are until the next slot claims them: too early costs nothing."""


class Slot(tune.Trainable):
    """Config: the fields of a TrialConfig, and `slot`: the settings of resident workers, and `residents`, the names
    of those that all slots of the sweep share. Where nodes may be added, a slot that finds none free starts its own."""

    def setup(self, config: dict[str, Any]) -> None:
        workers = WorkersConfig.model_validate(config["workers"])
        self._epoch_minutes = workers.epoch_minutes
        self._settings = WorkerSettings.from_json(workers, config["slot"])
        self._names: list[str] = config["slot"]["residents"]
        self._resident: WorkerGroup | None = None
        self._lock, self._turn, self._idle = threading.Lock(), 0, threading.Timer(0, self._rest)
        self._begin(config, epoch=0)

    def _begin(self, config: dict[str, Any], epoch: int) -> None:
        job = TrialJob.model_validate({"config": {key: value for key, value in config.items() if key != "slot"}})
        self._epoch, self._job = epoch, job.model_dump(mode="json")
        if self._resident is not None:
            with self._at_work():
                self._generation = self._workers().submit(self._job)

    def step(self) -> dict[str, Any]:
        """One epoch: its metrics, or `failed` with the reason when the trial cannot go on (the slot can).

        Never `done`: the scheduler ends trials, and Tune does not ask it about a result that is done.
        """
        with self._at_work():
            # Not before: Tune makes more slots than it asks for anything. A trial goes on from its folder.
            if self._resident is None:
                self._generation = self._workers().submit(self._job)
            report = self._workers().run_epoch(self._generation, self._epoch + 1, self._epoch_minutes)
        if "failed" in report:
            return {"epoch": self._epoch, "failed": report["failed"]}
        self._epoch += 1
        return report

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same processes."""
        self._begin(new_config, epoch=0)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / POINTER).write_text(json.dumps({"epoch": self._epoch}))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self._begin(self.config, json.loads((Path(checkpoint) / POINTER).read_text())["epoch"])

    def cleanup(self) -> None:
        self._idle.cancel()
        self._rest(self._turn)

    def _workers(self) -> WorkerGroup:
        if self._resident is None:
            self._resident = claimed(self._names, self._settings.fixed_nodes) or OwnedWorkerGroup(self._settings)
            mark(f"slot with {self._resident.name} is up", self._settings.logs)
        return self._resident

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Nothing is given back within the block, and everything some time after the last one."""
        self._idle.cancel()
        with self._lock:
            self._turn += 1  # a timer that has run out meanwhile is one of another turn
            yield
            seconds = SHARED_SECONDS if self._only_lent() else IDLE_SECONDS
            self._idle = threading.Timer(seconds, self._rest, [self._turn])
            self._idle.daemon = True
            self._idle.start()

    def _rest(self, turn: int) -> None:
        with self._lock:
            if turn == self._turn and self._resident is not None:
                if self._only_lent() or isinstance(self._resident, OwnedWorkerGroup):
                    self._resident.close()
                else:
                    self._resident.free()
                self._resident = None

    def _only_lent(self) -> bool:
        """Whether nobody gains by the end of these workers: there are no others that could take their place."""
        return self._settings.fixed_nodes and not isinstance(self._resident, OwnedWorkerGroup)
