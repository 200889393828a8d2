"""One optimizer step of NPO with a retain term: Letheon against the usual way, on one model, rows and machine.

    python benchmarks/step.py [--model tiny|llama-1b|FOLDER] [--tofu FOLDER] [--device cpu|cuda] [--precision fp32|bf16]
                              [--peer CHECKOUT] [--ways NAME …] [--rows 32] [--micro 8] [--steps 20] [--threads 1]

`plain` is written from open-unlearning's published description, `peer` is its own code in a checkout. Each way has a
process of its own, one at a time, so that none takes memory from another; `--repeats` lets them take turns. Processor
time is printed next to wall time, because other work on the machine hardly inflates it. Losses are compared with
`plain` over the steps. Memory is the peak beyond imports and one copy of the weights. A way that fails is reported, and
the others go on. The last line is one JSON object; ratios are plain's or peer's over Letheon's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from steps.case import Case, of_benchmark, of_shape  # type: ignore[import-not-found]  # next to this script
from steps.measure import PEER, WAYS, measured  # type: ignore[import-not-found]
from steps.shapes import SHAPES  # type: ignore[import-not-found]

from trainables.config import BenchmarkConfig

LINES = 5
"""Last lines of a failed process's output that are shown."""
USUAL = ("letheon", "letheon, padded", "plain")


def make_case(arguments: argparse.Namespace) -> Case:
    device = torch.device(arguments.device)
    if arguments.model in SHAPES:
        dtype = torch.float32 if arguments.precision == "fp32" else torch.bfloat16
        model, forget, retain, pad_id = of_shape(arguments.model, device, dtype)
    else:
        tofu = {"name": "tofu", "path": arguments.tofu}
        config = BenchmarkConfig.model_validate(tofu if arguments.tofu else {"name": "fictional"})
        model, forget, retain, pad_id = of_benchmark(config, arguments.model, arguments.fraction)
    settings = (arguments.precision, arguments.rows, arguments.micro, arguments.learning_rate)
    return Case(model, forget, retain, pad_id, device, *settings)


def in_own_process(way: str) -> dict[str, Any]:
    """`measured` in a fresh interpreter with the same arguments, or `{"error": …}`."""
    done = subprocess.run([sys.executable, *sys.argv, "--only", way], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": "\n".join((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-LINES:])}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def figures_of(runs: list[dict[str, Any]], ours: dict[str, Any] | None) -> dict[str, Any]:
    """Medians over all steps of one way, and their ratios to ours."""
    if errors := [run["error"] for run in runs if "error" in run]:
        return {"error": errors[0]}
    seconds = [pair for run in runs for pair in run["seconds"]]
    found = {
        "wall_ms": round(1e3 * statistics.median(wall for wall, _ in seconds), 1),
        "processor_ms": round(1e3 * statistics.median(processor for _, processor in seconds), 1),
        "peak_bytes": max(run["peak_bytes"] for run in runs),
    }
    against = found if ours is None else ours
    if "error" in against:
        return found
    return found | {f"{name.split('_')[0]}_ratio": round(found[name] / max(against[name], 1), 2) for name in found}


def report(arguments: argparse.Namespace, ways: list[str]) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(arguments.repeats):
        for way in ways:
            runs[way].append(in_own_process(way))
            print(json.dumps({"way": way} | figures_of(runs[way][-1:], None)), flush=True)  # a later one may never end
    found = {way: figures_of(runs[way], None) for way in ways}
    ours = found.get("letheon")
    found = {way: figures_of(runs[way], ours) for way in ways}
    one = next((run for way in ways for run in runs[way] if "error" not in run), None)
    if one is None:
        return {"benchmark": "step", "ways": found}
    losses = [runs.get(way, [{}])[0].get("losses", []) for way in ("letheon", "plain")]
    return {
        "benchmark": "step",
        "device": one["device"],
        "threads": arguments.threads,
        "precision": arguments.precision,
        "parameters": one["parameters"],
        "tokens": one["tokens"],
        "flop_per_second": None
        if ours is None or "error" in ours
        else round(6 * one["parameters"] * one["tokens"] / (1e-3 * ours["wall_ms"])),
        "steps": arguments.steps,
        "loss_difference": max((abs(one - other) / abs(other) for one, other in zip(*losses, strict=False)), default=0),
        "ways": found,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help=f"tiny, {', '.join(SHAPES)} (random weights) or a model folder")
    parser.add_argument("--tofu", help="folder of TOFU's files; default: the embedded benchmark's rows")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peer", type=Path, help="a checkout of open-unlearning")
    parser.add_argument(
        "--ways", nargs="+", choices=(*WAYS, PEER), help=f"default: {', '.join(USUAL)} and a given peer"
    )
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--micro", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1, help="how often each way runs, in turn with the others")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ways and PEER in arguments.ways and arguments.peer is None:
        parser.error("--ways peer: it is a checkout's code; add --peer CHECKOUT")
    return arguments


def run_here(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    with tempfile.NamedTemporaryFile() as meeting:
        backend = "nccl" if arguments.device.startswith("cuda") else "gloo"
        torch.distributed.init_process_group(backend, init_method=f"file://{meeting.name}-step", rank=0, world_size=1)
    print(json.dumps(measured(make_case(arguments), arguments.only, arguments.peer, arguments.steps)))


def main() -> None:
    """Run, print."""
    arguments = parse()
    if arguments.only:
        run_here(arguments)
        return
    found = report(arguments, arguments.ways or [*USUAL, *([PEER] if arguments.peer else [])])
    for name, figures in found["ways"].items():
        if "error" in figures:
            print(f"{name:16} failed: {figures['error']}")
            continue
        print(
            f"{name:16} {figures['wall_ms']:9.1f} ms, {figures['processor_ms']:9.1f} of processor time "
            f"(x {figures.get('processor_ratio', 1):.2f}), peak {figures['peak_bytes'] / 2**20:8.1f} MiB "
            f"(x {figures.get('peak_ratio', 1):.2f})"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
