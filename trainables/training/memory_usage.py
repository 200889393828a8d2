"""The memory of one trial on one worker: where its weights come from, the predicted and the measured peak."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from trainables.batching.schedule import StepRows
from trainables.config import TrialConfig
from trainables.inputs.cache import WorkerCache
from trainables.inputs.micro_batches import MicroBatcher
from trainables.methods.base import Method
from trainables.model.gpu_share import MemorySettings, WeightPlace, estimate_memory, place_of_weights, usable_bytes
from trainables.model.memory import DecoderShape, MemoryEstimate
from trainables.runtime.ranks import Group

_RESET_PEAK = "5"
"""The value that resets peaks in Linux's clear_refs, see proc(5)."""


class TrialMemory:
    """Create it before anything else of the trial: peaks are counted from then on."""

    def __init__(self, config: TrialConfig, method: Method, cache: WorkerCache, group: Group) -> None:
        reset_peak(group.device)
        self._config, self._cache, self._group, self._expected = config, cache, group, 0
        self._on_gpu = torch.device(group.device).type == "cuda"
        self._settings = MemorySettings(
            config.workers, config.evaluation, (method,), config.lora, self._on_gpu, probe=config.probe is not None
        )
        model = cache.model(config.target).model
        self._shape = DecoderShape.of(model.config, sum(parameter.numel() for parameter in model.parameters()))
        space = (
            usable_bytes(torch.cuda.get_device_properties(group.device).total_memory, config.workers)
            if self._on_gpu
            else 0
        )
        self.place: WeightPlace = place_of_weights(self._shape, self._settings, self._on_gpu, space)

    def weights(self) -> Any:
        """The model that the engine copies its weights from. Call it after the reference tables are computed."""
        if self._on_gpu and self.place != "device":
            self._cache.clear_device()  # left by a reference table or an earlier trial's method
        precision, device = self._config.workers.precision, str(self._group.device)
        return self._cache.weights(self._config.target, precision, self.place, device)

    @property
    def other_bytes(self) -> int:
        """Device bytes that the trial needs besides its engine, without activations."""
        states = self._estimate(0, 0).states
        return states["frozen"] + states.get("method", 0)

    def expect(self, batcher: MicroBatcher, steps: Iterable[StepRows]) -> None:
        """Predict the peak of these steps."""
        parts = [batcher.rows(part) for rows in steps for part in batcher.parts(rows, 1)]
        largest = max(parts, key=lambda rows: rows.tokens)
        answers = sum(len(row.input_ids) - row.answer_start for row in largest.all)
        self._expected = self._estimate(largest.tokens, answers).total

    def metrics(self) -> dict[str, int]:
        """The largest measured and the largest predicted peak of all workers, bytes. Every rank must call it."""
        peaks, expected = zip(*self._group.gather([(peak_bytes(self._group.device), self._expected)]), strict=True)
        return {"peak_memory_bytes": max(peaks), "predicted_memory_bytes": max(expected)}

    def _estimate(self, tokens: int, answers: int) -> MemoryEstimate:
        return estimate_memory(self._shape, self._settings, tokens, answers, kept=self.place == "device")


def reset_peak(device: torch.device | str) -> None:
    """Count peaks from now on, if the system allows it: of the device on a GPU, of the process on a CPU."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # not Linux, or a sandbox: the peak is then that of the process's whole life
        Path(f"/proc/{os.getpid()}/clear_refs").write_text(_RESET_PEAK)


def peak_bytes(device: torch.device | str) -> int:
    """Peak since `reset_peak`: tensors of the device on a GPU, the process with its libraries on a CPU."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
