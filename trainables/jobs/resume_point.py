"""The state of a fine-tuning on disk, so that a preparation continues after a crash, bit-equal to one without.

    .target-<key>.resume/step-000120/state/      DeepSpeed's shards of all ranks
    .target-<key>.resume/step-000120/rank-0.pt   that rank's random states and its losses of the epoch so far
    .target-<key>.resume/step-000120/point.json  the job, seconds so far, and the digests of the other files

Folders are complete or absent; the newest one stays until the model is written. Saving takes at most SHARE of the time,
and a fine-tuning shorter than EPOCH_SECONDS never saves.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainables.runtime.channel import broadcast_from_rank0
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.storage.manifest import list_files, read_json, write_json
from trainables.training.engine import Engine

SAVE_SECONDS, EPOCH_SECONDS = 300.0, 60.0
"""Least time between two saves, in the middle of an epoch and at its end."""
SHARE = 0.03
CHECK_STEPS = 8
"""Several ranks agree to save only after this many steps, since agreeing costs a message."""


@dataclass
class Point:
    """`step`: optimizer steps taken. `losses`: this rank's of the current epoch. `seconds`: spent so far."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def is_due(since: float, epoch_ends: bool, cost: float) -> bool:
    """Whether to save. `since`: seconds since the last save or the start; `cost`: seconds that the last save took."""
    return since >= max(EPOCH_SECONDS if epoch_ends else SAVE_SECONDS, cost / SHARE)


class ResumePoints:
    """Saves and restores one fine-tuning. All ranks make the same calls."""

    def __init__(self, model: Path, job: dict[str, Any], engine: Engine, group: Group) -> None:
        """`model`: the folder to be made. `job`: everything that the state depends on; another job's is not used."""
        self._folder = model.with_name(f".{model.name}.resume")
        self._job, self._engine, self._group = {**job, "ranks": group.size}, engine, group
        self._started = self._saved = time.monotonic()
        self._earlier = self._cost = 0.0

    @property
    def seconds(self) -> float:
        """Time spent on this fine-tuning, by earlier processes too, as far as they saved it."""
        return self._earlier + time.monotonic() - self._started

    def restore(self) -> Point:
        """The newest state, loaded into the engine and the random generators; a new `Point` if there is none."""
        step = broadcast_from_rank0(self._group, self._newest)
        if step is None:
            return Point()
        folder = self._at(step)
        self._engine.load_state(folder / "state")
        mine = torch.load(folder / f"rank-{self._group.rank}.pt", weights_only=True)
        torch.set_rng_state(mine["cpu"])
        if mine["cuda"] is not None:
            torch.cuda.set_rng_state(mine["cuda"], self._group.device)
        self._earlier = float((read_json(folder / "point.json") or {})["seconds"])
        print(f"{self._folder.name}: continuing after step {step}", flush=True)
        return Point(step, list(mine["losses"]), self._earlier)

    def save_if_due(self, step: int, losses: list[float], epoch_ends: bool) -> None:
        """Call it after every step."""
        if self._group.size > 1 and step % CHECK_STEPS and not epoch_ends:
            return
        began = time.monotonic()
        if not broadcast_from_rank0(self._group, lambda: is_due(began - self._saved, epoch_ends, self._cost)):
            return
        Stage("saving the state")
        self._save(step, losses)
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def clear(self) -> None:
        """Delete all states; for rank 0, once the model is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _at(self, step: int) -> Path:
        return self._folder / f"step-{step:06d}"

    def _save(self, step: int, losses: list[float]) -> None:
        partial, group = self._folder / ".partial", self._group
        if group.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        group.barrier()
        self._engine.save_state(partial / "state")
        on_gpu = torch.device(group.device).type == "cuda"
        cuda = torch.cuda.get_rng_state(group.device) if on_gpu else None
        torch.save({"cpu": torch.get_rng_state(), "cuda": cuda, "losses": losses}, partial / f"rank-{group.rank}.pt")
        group.barrier()
        if group.rank == 0:
            files = list_files(partial)
            write_json(partial / "point.json", {"job": self._job, "seconds": self.seconds, "files": files})
            os.replace(partial, self._at(step))
            for old in self._folder.glob("step-*"):
                if old != self._at(step):
                    shutil.rmtree(old)
        group.barrier()

    def _newest(self) -> int | None:
        """The step of the newest state that is intact and belongs to this job."""
        for folder in sorted(self._folder.glob("step-*"), key=lambda it: int(it.name[5:]), reverse=True):
            point = read_json(folder / "point.json") or {}
            files = {name: facts for name, facts in list_files(folder).items() if name != "point.json"}
            if point.get("job") == self._job and point.get("files") == files:
                return int(folder.name[5:])
        return None
