"""A trial's folder: one finished sub-folder an epoch, each complete or absent. This is what a trial resumes from.

    epoch-003/metrics.json    what was reported (the folder's marker: written last, before the folder gets its name)
    epoch-003/model/          Hugging Face safetensors; `manifest.json` beside it
    epoch-003/state/          DeepSpeed shards of all ranks, of the last two epochs only; digests in `state.json`

It does not know what metrics mean, nor which epochs are worth keeping: the sweep deletes dominated `model/` folders.
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
    """Paths and markers of one trial. Only rank 0 calls the methods that write."""

    path: Path

    def epoch(self, epoch: int) -> Path:
        return self.path / epoch_name(epoch)

    def partial(self, epoch: int) -> Path:
        """Where all ranks write before the epoch gets its name."""
        return self.path / f".{epoch_name(epoch)}.partial"

    def begin(self, epoch: int) -> Path:
        """An empty partial folder; what a killed run left is removed."""
        partial = self.partial(epoch)
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "state").mkdir(parents=True)
        return partial

    def commit(self, epoch: int, record: dict[str, Any]) -> None:
        """Write manifests and the marker, give the folder its name, drop optimizer states that are no longer needed.

        Raises TypeError if a metric is no number.
        """
        for name, value in record["metrics"].items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} of epoch {epoch} is {value!r}: what a trainable reports must be numbers")
        partial = self.partial(epoch)
        write_json(partial / "state.json", list_files(partial / "state"))
        write_manifest(partial, self.path.name, epoch, record["metrics"])
        write_json(partial / "metrics.json", record)
        os.replace(partial, self.epoch(epoch))
        shutil.rmtree(self.epoch(epoch - STATES_KEPT) / "state", ignore_errors=True)

    def record(self, epoch: int) -> dict[str, Any] | None:
        """What was reported after `epoch`, or None if the epoch was not finished or its record is damaged."""
        content = read_json(self.epoch(epoch) / "metrics.json")
        return content if content is not None and isinstance(content.get("metrics"), dict) else None

    def recover(self) -> int:
        """The epoch to go on from; what lies behind it is forgotten, and said, for something of it was damaged."""
        usable, epochs = self.last_usable_epoch(), self._epochs
        lost = [epoch for epoch in epochs if epoch > usable]
        if lost:
            print(f"{self.path.name}: epoch {max(lost)} is damaged; continuing from epoch {usable}", flush=True)
        self.truncate(usable)
        return usable

    @property
    def _epochs(self) -> list[int]:
        return sorted(int(path.name[6:]) for path in self.path.glob("epoch-*"))

    def last_usable_epoch(self) -> int:
        """The last epoch whose optimizer state is whole (digests match) and up to which all records can be read.

        0 if there is none: start afresh.
        """
        read = 0
        while self.record(read + 1) is not None:
            read += 1
        return next((epoch for epoch in range(read, 0, -1) if self._state_is_whole(epoch)), 0)

    def _state_is_whole(self, epoch: int) -> bool:
        folder = self.epoch(epoch)
        expected = read_json(folder / "state.json")
        return bool(expected) and list_files(folder / "state") == expected

    def truncate(self, epoch: int) -> None:
        """Forget everything after `epoch`: it will be trained again from there (its optimizer state was damaged)."""
        for later in self._epochs:
            if later > epoch:
                shutil.rmtree(self.epoch(later))
