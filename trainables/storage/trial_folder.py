"""A trial's folder: one sub-folder per epoch, each complete or absent. Trials resume from it.

    epoch-003/metrics.json    what was reported (written last, before the folder is renamed)
    epoch-003/model/          Hugging Face safetensors; listed in `epoch-003/manifest.json`
    epoch-003/state/          DeepSpeed shards of all ranks, for the last two epochs only; digests in `state.json`

The sweep, not the trial, decides which `model/` folders to delete.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.storage.manifest import list_files, read_json, write_json, write_manifest

STATES_KEPT = 2


def epoch_name(epoch: int) -> str:
    """`epoch-003`."""
    return f"epoch-{epoch:03d}"


@dataclass(frozen=True)
class TrialFolder:
    """Paths and markers of one trial. Only rank 0 may call the methods that write."""

    path: Path

    def epoch(self, epoch: int) -> Path:
        return self.path / epoch_name(epoch)

    def partial(self, epoch: int) -> Path:
        """Where all ranks write before `commit` renames it to `epoch(epoch)`."""
        return self.path / f".{epoch_name(epoch)}.partial"

    def begin(self, epoch: int) -> Path:
        """Make an empty partial folder; removes one left by a killed run."""
        partial = self.partial(epoch)
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "state").mkdir(parents=True)
        return partial

    def commit(self, epoch: int, record: dict[str, Any]) -> None:
        """Write manifests and metrics, rename the partial folder, delete the optimizer state of an older epoch.

        Raises TypeError if a metric is not a number.
        """
        for name, value in record["metrics"].items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} of epoch {epoch} is {value!r}: a trainable must report numbers only")
        partial = self.partial(epoch)
        write_json(partial / "state.json", list_files(partial / "state"))
        write_manifest(partial, self.path.name, epoch, record["metrics"])
        write_json(partial / "metrics.json", record)
        os.replace(partial, self.epoch(epoch))
        shutil.rmtree(self.epoch(epoch - STATES_KEPT) / "state", ignore_errors=True)

    def record(self, epoch: int) -> dict[str, Any] | None:
        """What was reported after `epoch`; None if the epoch is not finished or its record is damaged."""
        content = read_json(self.epoch(epoch) / "metrics.json")
        return content if content is not None and isinstance(content.get("metrics"), dict) else None

    def recover(self) -> int:
        """The epoch to continue from. Later epochs, which are damaged, are deleted and reported in the log."""
        usable = self.last_usable_epoch()
        later = sorted(epoch for path in self.path.glob("epoch-*") if (epoch := int(path.name[6:])) > usable)
        if later:
            print(f"{self.path.name}: epoch {later[-1]} is damaged; continuing from epoch {usable}", flush=True)
        for epoch in later:
            shutil.rmtree(self.epoch(epoch))
        return usable

    def last_usable_epoch(self) -> int:
        """The last epoch with an intact optimizer state (digests match) and readable records of all epochs up to it; 0
        if there is none, which means to start from the beginning.
        """
        readable = 0
        while self.record(readable + 1) is not None:
            readable += 1
        return next((epoch for epoch in range(readable, 0, -1) if self._state_is_intact(epoch)), 0)

    def _state_is_intact(self, epoch: int) -> bool:
        folder = self.epoch(epoch)
        expected = read_json(folder / "state.json")
        return bool(expected) and list_files(folder / "state") == expected
