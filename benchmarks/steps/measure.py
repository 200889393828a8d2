"""Measures one way to take the step, in this process: time, losses and peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables.batching.schedule import StepRows

from .case import Case, Step
from .ours import letheon
from .peer import open_unlearning
from .plain import plain

WARM_UP = 2
PEER = "peer"
WAYS: dict[str, Callable[[Case], Step]] = {
    "letheon": letheon,
    "letheon, padded": lambda case: letheon(case, padded=True, compilation="off"),  # every padded batch has a new size
    "letheon, compiled": lambda case: letheon(case, compilation="on"),
    "letheon, uncompiled": lambda case: letheon(case, compilation="off"),
    "plain": plain,
}


def measured(case: Case, way: str, peer: Path | None, count: int) -> dict[str, Any]:
    """Seconds (wall, processor) and losses of `count` steps after the first ones, and the peak memory of all."""
    steps = case.steps(WARM_UP + count)
    before = memory(case.device, reset=True)
    losses: list[float] = []
    if way == PEER:
        assert peer is not None
        seconds = open_unlearning(case, peer, steps)
    else:
        step, seconds = WAYS[way](case), []
        for rows in steps:
            loss, took = timed(step, rows, case.device)
            losses.append(loss)
            seconds.append(took)
    return {
        "seconds": seconds[WARM_UP:],
        "losses": losses,
        "peak_bytes": memory(case.device, reset=False) - before,
        "parameters": case.parameters,
        "tokens": round(statistics.mean(case.tokens(rows) for rows in steps[WARM_UP:])),
        "device": torch.cuda.get_device_name() if case.device.type == "cuda" else "cpu",
    }


def timed(step: Step, rows: StepRows, device: torch.device) -> tuple[float, tuple[float, float]]:
    """(loss, (wall, processor) seconds)."""
    wall, processor = time.perf_counter(), time.process_time()
    loss = step(rows)  # a number: it waits for the device
    if device.type == "cuda":
        torch.cuda.synchronize()
    return loss, (time.perf_counter() - wall, time.process_time() - processor)


def memory(device: torch.device, reset: bool) -> int:
    """The peak so far, of the device or of this process; `reset`: what is held now, and a new peak begins."""
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.max_memory_allocated())
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS" if reset else "VmHWM"].split()[0]) * 1024
