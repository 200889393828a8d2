"""Optimizer steps of NPO with a retain term on a model of 1.24 billion random weights."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.run import Settings
from benchmarks.steps.case import Case, of_shape
from benchmarks.steps.measure import WARM_UP, WAYS, measured
from trainables.model.compile import ANY_SIZE, SUPPRESS_ERRORS

PEAK = 989e12
"""Dense bf16 operations per second of an H100 or H200 (NVIDIA's data sheet, SXM)."""
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpyAsync", "cudaLaunchKernel")
_SHOWN = 15


def join(settings: Settings) -> None:
    """This process as the only one of a group, as DeepSpeed asks for."""
    store = f"file://{tempfile.mkdtemp(prefix='letheon-group-')}/meeting"
    torch.distributed.init_process_group("nccl" if settings.cuda else "gloo", init_method=store, rank=0, world_size=1)


def case_of(settings: Settings, shape: str | None = None) -> Case:
    """32 + 32 rows as long as TOFU's; fewer if tiny."""
    device, dtype = torch.device(settings.device), torch.bfloat16 if settings.cuda else torch.float32
    model, forget, retain, pad_id = of_shape(shape or ("toy" if settings.tiny else "llama-1b"), device, dtype)
    rows, micro = (8, 4) if settings.tiny else (32, 8)
    return Case(model, forget, retain, pad_id, device, "bf16" if settings.cuda else "fp32", rows, micro, 1e-5)


def step(settings: Settings, way: str, sizes: str = "each size") -> dict[str, Any]:
    """Milliseconds, share of the device's peak, peak memory and losses of one way (`benchmarks.steps.measure.WAYS`)."""
    os.environ[SUPPRESS_ERRORS] = "0"  # what does not compile must not pass for a slow step
    if sizes == "any size":
        os.environ[ANY_SIZE] = "1"
    join(settings)
    case = case_of(settings)
    found = measured(case, way, Path(settings.peer) if settings.peer else None, 2 if settings.tiny else 20)
    walls = sorted(wall for wall, _ in found["seconds"])
    median = walls[len(walls) // 2]
    rate = 6 * found["parameters"] * found["tokens"] / median
    figures = {
        "wall_ms": round(1e3 * median, 2),
        "slowest_ms": round(1e3 * walls[-1], 2),
        "flop_per_second": round(rate),
        "peak_bytes": found["peak_bytes"],
        "tokens": found["tokens"],
        "losses": [round(loss, 6) for loss in found["losses"][:4]],
    }
    if settings.cuda:
        stats = torch.cuda.memory_stats()
        figures |= {"share_of_peak": round(rate / PEAK, 4), "reserved_bytes": stats["reserved_bytes.all.peak"]}
    return figures | {"graphs": _graphs()}


def _graphs() -> dict[str, int]:
    """What was compiled, and why it had to be again."""
    from torch._dynamo.utils import counters

    return {"compiled": counters["stats"]["unique_graphs"], "breaks": sum(counters["graph_break"].values())}


def profiled(settings: Settings) -> dict[str, Any]:
    """Where five steps spend the device's time, and how often the host waits, copies and launches in them."""
    join(settings)
    case, count = case_of(settings), 2 if settings.tiny else 5
    taken = WAYS["letheon"](case)
    steps = case.steps(WARM_UP + 8 + count)
    for rows in steps[:-count]:  # all sizes are compiled
        taken(rows)
    watched = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if settings.cuda else [])]
    with profile(activities=watched) as seen:
        for rows in steps[-count:]:
            taken(rows)
    averages = seen.key_averages()
    of_device = "self_device_time_total" if settings.cuda else "self_cpu_time_total"
    longest = sorted(averages, key=lambda event: -getattr(event, of_device))[:_SHOWN]
    return {
        "ms_per_step": {event.key[:80]: round(getattr(event, of_device) / 1e3 / count, 3) for event in longest},
        "calls_per_step": {event.key: event.count / count for event in averages if event.key in _WAITS},
    }
