"""A trial's folder: one sub-folder per epoch, each complete or absent. Trials resume from it.

    epoch-003/metrics.json    what was reported (written last, before the folder is renamed)
    epoch-003/model/          Hugging Face safetensors, if it can be on the front; listed in `epoch-003/manifest.json`
    epoch-003/state/          DeepSpeed shards of all ranks, of some epochs (`save_state`); digests in `state.json`

The last two states are kept. The sweep, not the trial, decides which `model/` folders to delete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trainables.storage.hashed_files import WEIGHTS
from trainables.storage.manifest import list_files, read_json, write_json, write_manifest

STATES_KEPT = 2


def epoch_name(epoch: int) -> str:
    """`epoch-003`."""
    return f"epoch-{epoch:03d}"


class Progress(NamedTuple):
    """How far a trial got: the epochs that are `recorded`, and the last one with an intact `state`; 0 without any.

    The epochs after `state` are trained again before the one after `recorded`; they need no evaluation.
    """

    recorded: int
    state: int


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

    def commit(
        self,
        epoch: int,
        record: dict[str, Any],
        state: Mapping[str, Any] | None = None,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        """Write manifests and metrics, rename the partial folder, delete states older than the last two.

        `state`, `model`: digest and size of the files of these folders, as far as they are known.

        Raises TypeError if a metric is not a number.
        """
        for name, value in record["metrics"].items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} of epoch {epoch} is {value!r}: a trainable must report numbers only")
        partial, known = self.partial(epoch), dict(state or {})
        if (partial / "model").exists():
            model = list_files(partial / "model", model)
            known |= {f"{WEIGHTS}/{name}": entry for name, entry in model.items()}
            write_manifest(partial, self.path.name, epoch, record["metrics"], model)
        if any((partial / "state").iterdir()):
            write_json(partial / "state.json", list_files(partial / "state", known))
        else:
            (partial / "state").rmdir()
        write_json(partial / "metrics.json", record)
        os.replace(partial, self.epoch(epoch))
        for older in self._saved_states()[STATES_KEPT:]:
            shutil.rmtree(self.epoch(older) / "state", ignore_errors=True)

    def record(self, epoch: int) -> dict[str, Any] | None:
        """What was reported after `epoch`; None if the epoch is not finished or its record is damaged."""
        content = read_json(self.epoch(epoch) / "metrics.json")
        return content if content is not None and isinstance(content.get("metrics"), dict) else None

    def recover(self) -> Progress:
        """How far the trial got. Damaged epochs and all after them are deleted, which the log says."""
        recorded = 0
        while self.record(recorded + 1) is not None:
            recorded += 1
        state = 0
        for epoch in self._saved_states():
            if epoch <= recorded and not self._state_is_intact(epoch):
                recorded = epoch - 1
            elif epoch <= recorded:
                state = epoch
                break
        lost = [epoch for epoch in self._epochs() if epoch > recorded]
        if lost:
            print(f"{self.path.name}: epoch {recorded + 1} is damaged; continuing from epoch {state}", flush=True)
        for epoch in lost:
            shutil.rmtree(self.epoch(epoch))
        return Progress(recorded, state)

    def _epochs(self) -> list[int]:
        return sorted(int(path.name[6:]) for path in self.path.glob("epoch-*"))

    def _saved_states(self) -> list[int]:
        """Epochs with a state, the latest first."""
        return [epoch for epoch in reversed(self._epochs()) if (self.epoch(epoch) / "state").exists()]

    def _state_is_intact(self, epoch: int) -> bool:
        folder = self.epoch(epoch)
        expected = read_json(folder / "state.json")
        return bool(expected) and list_files(folder / "state") == expected
