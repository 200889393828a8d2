"""A Tune trainable that runs one trial after another on a worker group. One `step()` is one epoch.

The worker waits for each `step()` before it trains, so it never runs ahead of the scheduler, and a pruned trial ends
because its next epoch is never granted. The trial's own folder is the checkpoint; Tune's checkpoint only has the number
of an epoch in it.

An idle slot gives its workers back: after nodes are lost, the trial of another slot may wait for them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import OwnedWorkerGroup, WorkerGroup, claim_workers
from trainables.jobs.specs import TrialJob
from trainables.runtime.events import mark
from trainables.runtime.imports import gc_paused

with gc_paused():
    from ray import tune

POINTER = "epoch.json"
IDLE_SECONDS = 20.0
"""Idle time after which workers are given back. Epochs are milliseconds apart; giving up too early costs a restart."""

SHARED_SECONDS = 1.0
"""The same for shared workers, which keep running until the next slot claims them: giving up early costs nothing."""


class Slot(tune.Trainable):
    """Config: the fields of a TrialConfig, and `slot`: `settings` and names (`groups`) of the worker groups.

    All slots of the sweep share these groups. If nodes may join, a slot that finds no group free starts its own.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._settings: WorkerSettings = config["slot"]["settings"]
        self._names: list[str] = config["slot"]["groups"]
        self._group: WorkerGroup | None = None
        self._lock, self._turn, self._timer = threading.Lock(), 0, threading.Timer(0, self._release_idle)
        self._start_trial(config, epoch=0)

    def _start_trial(self, config: dict[str, Any], epoch: int) -> None:
        job = TrialJob.model_validate({"config": {key: value for key, value in config.items() if key != "slot"}})
        self._epoch, self._job = epoch, job.model_dump(mode="json")
        if self._group is not None:
            with self._busy():
                self._generation = self._workers().submit(self._job)

    def step(self) -> dict[str, Any]:
        """Run one epoch. Returns its metrics, or `failed` with the reason if the trial cannot continue.

        Never `done`: the scheduler ends trials, and Tune does not pass it results that are done.
        """
        with self._busy():
            # Workers are claimed here, not in `setup`, since Tune makes slots that it never uses. A trial whose workers
            # were given back continues from its folder.
            if self._group is None:
                self._generation = self._workers().submit(self._job)
            minutes = self._settings.workers.epoch_minutes
            report = self._workers().run_epoch(self._generation, self._epoch + 1, minutes)
        if "failed" in report:
            return {"epoch": self._epoch, "failed": report["failed"]}
        self._epoch += 1
        return report

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in the same processes."""
        self._start_trial(new_config, epoch=0)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / POINTER).write_text(json.dumps({"epoch": self._epoch}))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self._start_trial(self.config, json.loads((Path(checkpoint) / POINTER).read_text())["epoch"])

    def cleanup(self) -> None:
        self._timer.cancel()
        self._release_idle(self._turn)

    def _workers(self) -> WorkerGroup:
        if self._group is None:
            self._group = claim_workers(self._names, self._settings.fixed_nodes) or OwnedWorkerGroup(self._settings)
            mark(f"slot with {self._group.name} is up", self._settings.logs)
        return self._group

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Keep the workers within the block; afterwards release them once the slot has been idle for a while."""
        self._timer.cancel()
        with self._lock:
            self._turn += 1  # a timer of an earlier turn that fires meanwhile has no effect
            yield
            seconds = SHARED_SECONDS if self._is_borrowed() else IDLE_SECONDS
            self._timer = threading.Timer(seconds, self._release_idle, [self._turn])
            self._timer.daemon = True
            self._timer.start()

    def _release_idle(self, turn: int) -> None:
        with self._lock:
            if turn == self._turn and self._group is not None:
                if self._is_borrowed() or isinstance(self._group, OwnedWorkerGroup):
                    self._group.close()
                else:
                    self._group.free()
                self._group = None

    def _is_borrowed(self) -> bool:
        """Whether the group is shared and need not end to free resources, since no node will join."""
        return self._settings.fixed_nodes and not isinstance(self._group, OwnedWorkerGroup)
