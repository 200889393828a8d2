"""A Tune actor with resident Train workers; runs many trials, one at a time. One `step()` is one epoch.

The worker waits for each `step()` before it trains, so nothing runs ahead of the scheduler, and a pruned trial is
abandoned by not asking for its next epoch. The trial's own folder is the checkpoint; Tune's checkpoint only points to
an epoch in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray import tune

from letheon.resident import ResidentSettings, ResidentWorkers
from trainables.config import WorkersConfig
from trainables.jobs import TrialJob

POINTER = "epoch.json"


class Slot(tune.Trainable):
    """Config: the fields of a TrialConfig, and `slot` with the paths `storage` and `logs`."""

    def setup(self, config: dict[str, Any]) -> None:
        workers = WorkersConfig.model_validate(config["workers"])
        self._epoch_minutes = workers.epoch_minutes
        settings = ResidentSettings(
            workers=workers,
            storage=Path(config["slot"]["storage"]),
            logs=Path(config["slot"]["logs"]),
        )
        self._resident = ResidentWorkers(settings)
        self._begin(config, epoch=0)

    def _begin(self, config: dict[str, Any], epoch: int) -> None:
        job = TrialJob.model_validate({"config": {key: value for key, value in config.items() if key != "slot"}})
        self._epoch = epoch
        self._generation = self._resident.submit(job.model_dump(mode="json"))

    def step(self) -> dict[str, Any]:
        """One epoch: its metrics, or `failed` with the reason when the trial cannot go on (the slot can).

        Never `done`: the scheduler ends trials, and Tune does not ask it about a result that is done.
        """
        report = self._resident.run_epoch(self._generation, self._epoch + 1, self._epoch_minutes)
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
        self._resident.close()
