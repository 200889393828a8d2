"""One optimizer step of NPO with a retain term: Letheon against the usual way, on one model, rows and machine.

    python benchmarks/step.py [--model tiny|llama-1b|FOLDER] [--tofu FOLDER] [--device cpu|cuda] [--precision fp32|bf16]
                              [--peer CHECKOUT] [--rows 32] [--micro 8] [--steps 20] [--threads 1]

`plain` is written from open-unlearning's published description, `peer` is its own code in a checkout. All take steps in
turn. Processor time is printed next to wall time, because other work on the machine hardly inflates it. Losses are
compared with `plain` over the steps. Memory is that of a separate process, beyond imports and one copy of the weights.
The last line is one JSON object; ratios are plain's or peer's over Letheon's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from steps.case import Case, Step, of_benchmark, of_shape  # type: ignore[import-not-found]  # next to this script
from steps.ours import letheon  # type: ignore[import-not-found]
from steps.peer import open_unlearning  # type: ignore[import-not-found]
from steps.plain import plain  # type: ignore[import-not-found]

from trainables.batching.schedule import StepRows
from trainables.config import BenchmarkConfig

WARM_UP = 2
WAYS: dict[str, Callable[[Case], Step]] = {
    "letheon": letheon,
    "letheon, padded": lambda case: letheon(case, padded=True),
    "plain": plain,
}
Seconds = list[tuple[float, float]]


def make_case(arguments: argparse.Namespace) -> Case:
    if arguments.model == "llama-1b":
        model, forget, retain, pad_id = of_shape()
    else:
        tofu = {"name": "tofu", "path": arguments.tofu}
        config = BenchmarkConfig.model_validate(tofu if arguments.tofu else {"name": "fictional"})
        model, forget, retain, pad_id = of_benchmark(config, arguments.model, arguments.fraction)
    return Case(
        model,
        forget,
        retain,
        pad_id,
        torch.device(arguments.device),
        arguments.precision,
        arguments.rows,
        arguments.micro,
        arguments.learning_rate,
    )


def timed(step: Step, rows: StepRows, device: torch.device) -> tuple[float, tuple[float, float]]:
    """(loss, (wall, processor) seconds)."""
    wall, processor = time.perf_counter(), time.process_time()
    loss = step(rows)  # a number: it waits for the device
    if device.type == "cuda":
        torch.cuda.synchronize()
    return loss, (time.perf_counter() - wall, time.process_time() - processor)


def in_turn(case: Case, steps: list[StepRows]) -> tuple[dict[str, Seconds], dict[str, list[float]]]:
    """Seconds and losses of every step under every way."""
    ways = {name: make(case) for name, make in WAYS.items()}
    seconds: dict[str, Seconds] = {name: [] for name in ways}
    losses: dict[str, list[float]] = {name: [] for name in ways}
    for rows in steps:
        for name, step in ways.items():
            loss, took = timed(step, rows, case.device)
            losses[name].append(loss)
            seconds[name].append(took)
    return {name: found[WARM_UP:] for name, found in seconds.items()}, losses


def peak_bytes(case: Case, way: str, peer: Path | None) -> int:
    """Peak memory of three steps beyond imports and one copy of the weights."""
    before = _memory(case.device, reset=True)
    steps = case.steps(3)
    if way == "peer":
        assert peer is not None
        open_unlearning(case, peer, steps)
    else:
        step = WAYS[way](case)
        for rows in steps:
            step(rows)
    return _memory(case.device, reset=False) - before


def _memory(device: torch.device, reset: bool) -> int:
    """The peak so far, of the device or of this process; `reset`: what is held now, and the peak begins anew."""
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.max_memory_allocated())
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS" if reset else "VmHWM"].split()[0]) * 1024


def in_own_process(way: str) -> int:
    """`peak_bytes` in a fresh interpreter with the same arguments."""
    done = subprocess.run(
        [sys.executable, *sys.argv, "--memory-of", way], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return int(done.stdout.split()[-1])


def report(case: Case, arguments: argparse.Namespace, peer: Path | None) -> dict[str, Any]:
    steps = case.steps(WARM_UP + arguments.steps)
    seconds, losses = in_turn(case, steps)
    if peer is not None:
        seconds["peer"] = open_unlearning(case, peer, steps)[WARM_UP:]
    tokens = statistics.mean(case.tokens(rows) for rows in steps[WARM_UP:])
    names = [*WAYS, "peer"] if peer is not None else [*WAYS]
    found: dict[str, Any] = {
        name: {
            "wall_ms": round(1e3 * statistics.median(wall for wall, _ in seconds[name]), 1),
            "processor_ms": round(1e3 * statistics.median(processor for _, processor in seconds[name]), 1),
            "peak_bytes": in_own_process(name),
        }
        for name in names
    }
    ours = found["letheon"]
    for name in names:
        for figure in ("wall_ms", "processor_ms", "peak_bytes"):
            found[name][f"{figure.split('_')[0]}_ratio"] = round(found[name][figure] / max(ours[figure], 1), 2)
    pairs = zip(losses["letheon"], losses["plain"], strict=True)
    return {
        "benchmark": "step",
        "device": torch.cuda.get_device_name() if case.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": case.precision,
        "parameters": case.parameters,
        "tokens": round(tokens),
        "flop_per_second": round(6 * case.parameters * tokens / (1e-3 * ours["wall_ms"])),
        "steps": arguments.steps,
        "loss_difference": max(abs(one - other) / abs(other) for one, other in pairs),
        "ways": found,
    }


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, llama-1b (random weights) or a model folder")
    parser.add_argument("--tofu", help="folder of TOFU's files; default: the embedded benchmark's rows")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peer", type=Path, help="a checkout of open-unlearning")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--micro", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument(
        "--compiled", action="store_true", help="also Letheon's step with compiled layers, on any device"
    )
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.compiled:
        WAYS["letheon, compiled"] = lambda case: letheon(case, compilation="on")
    with tempfile.NamedTemporaryFile() as meeting:
        torch.distributed.init_process_group("gloo", init_method=f"file://{meeting.name}-step", rank=0, world_size=1)
    case = make_case(arguments)
    if arguments.memory_of:
        print(peak_bytes(case, arguments.memory_of, arguments.peer))
        return
    found = report(case, arguments, arguments.peer)
    print(f"{case.parameters:,} parameters, {found['tokens']} tokens per step, {case.precision}, {found['device']}")
    for name, figures in found["ways"].items():
        print(
            f"{name:16} {figures['wall_ms']:9.1f} ms, {figures['processor_ms']:9.1f} of processor time "
            f"(x {figures['processor_ratio']:.2f}), peak {figures['peak_bytes'] / 2**20:8.1f} MiB "
            f"(x {figures['peak_ratio']:.2f})"
        )
    print(f"largest relative difference of the loss, letheon and plain: {found['loss_difference']:.1e}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
