"""Everything that only a GPU can tell, in calls of at most eight minutes; one JSON line per check.

    python -m benchmarks.gpu [--part N] [--only NAME …] [--out FILE] [--peer CHECKOUT] [--tofu FOLDER] [--models FOLDER]
    python -m benchmarks.gpu --device cpu --tiny     the dry run: every check on a small shape; its figures mean nothing

Parts, in the order in which they are worth a GPU's time: 1 the machine and single kernels (a wrong one stops all
others), 2 the tests that need a GPU, 3 Letheon's step, 4 the usual steps, 5 decoding and evaluation, 6 memory of the
recipes, 7 the same at 8 billion parameters, 8 sweeps. Without `--part` all run, each within its own eight minutes.
Lines are added to FILE as soon as they are known: send it as it is. `benchmarks/evaluation.py --models FOLDER --make`
makes what `--models` needs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.gpu.memory import SHAPES, recipes
from benchmarks.gpu.run import Check, Settings, run

MINUTES = 8.0
_GPU_TESTS = {
    "step": ("tests/trainables/training/test_step_on_gpu.py",),
    "decoding": (
        "tests/trainables/evaluation/decoding/test_cuda_graphs.py",
        "tests/trainables/model/test_gpu_share.py",
        "-k",
        "gpu or graphs",
    ),
    "copies": ("tests/trainables/model/test_copies.py", "-k", "on_a_gpu"),
}
"""Each set in a process of its own: DeepSpeed works in the first process group only."""


def checks(settings: Settings) -> list[Check]:
    """All checks, in order."""
    found = [
        Check("machine", 1, 60, "benchmarks.gpu.commands:machine"),
        Check("fast paths", 1, 180, "benchmarks.gpu.commands:fast_paths"),
        Check("rates", 1, 60, "benchmarks.gpu.kernels:rates"),
        Check("packed attention", 1, 90, "benchmarks.gpu.kernels:packed_attention"),
        Check("log-probs", 1, 90, "benchmarks.gpu.kernels:log_probs"),
        Check("update", 1, 90, "benchmarks.gpu.kernels:update"),
        Check("decoding attention", 1, 60, "benchmarks.gpu.kernels:decoding_attention"),
        *(
            Check(f"tests: {name}", 2, 200, "benchmarks.gpu.commands:tests", chosen)
            for name, chosen in _GPU_TESTS.items()
        ),
        Check("step: letheon", 3, 240, "benchmarks.gpu.steps:step", ("letheon",)),
        Check("step: letheon, any size", 3, 120, "benchmarks.gpu.steps:step", ("letheon", "any size")),
        Check("step: profile", 3, 200, "benchmarks.gpu.steps:profiled"),
        Check("step: plain", 4, 150, "benchmarks.gpu.steps:step", ("plain",)),
        Check("step: letheon, uncompiled", 4, 120, "benchmarks.gpu.steps:step", ("letheon, uncompiled",)),
        Check("decoding: new shapes", 5, 60, "benchmarks.gpu.decoding:new_shapes"),
        Check("decoding: steps", 5, 90, "benchmarks.gpu.decoding:steps"),
        Check("evaluation: endless answers", 5, 240, "benchmarks.gpu.decoding:evaluation"),
        Check("sweep: two trials per GPU", 8, 240, "benchmarks.gpu.commands:sweep", ("0.5", "budget.trials=4")),
        Check("sweep: CPU", 8, 240, "benchmarks.gpu.commands:sweep", ("0", "budget.trials=1")),
    ]
    if settings.peer:
        found.append(Check("step: peer", 4, 200, "benchmarks.gpu.steps:step", ("peer",)))
    if settings.models:
        found.append(Check("evaluation: three models", 5, 280, "benchmarks.gpu.commands:evaluation"))
    shapes = ("toy",) if settings.tiny else SHAPES
    found += [
        Check(
            f"memory: {recipe.name}, {shape}",
            7 if shape == SHAPES[-1] else 6,
            60 if shape == SHAPES[0] else 120,
            "benchmarks.gpu.memory:recipe",
            (recipe.name, shape),
        )
        for shape in shapes
        for recipe in recipes()
    ]
    return sorted(found, key=lambda check: check.part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small shapes and few repeats")
    parser.add_argument("--part", type=int, help="1 to 8; default: all")
    parser.add_argument("--only", nargs="+", help="names of checks")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.jsonl"))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of each part")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--peer", help="a checkout of open-unlearning")
    parser.add_argument("--tofu", help="folder of TOFU's files")
    parser.add_argument("--models", help="folder of the models that `benchmarks/evaluation.py --make` makes")
    asked = parser.parse_args()
    settings = Settings(asked.device, asked.tiny, asked.threads, asked.peer, asked.tofu, asked.models)
    chosen = [
        check
        for check in checks(settings)
        if asked.part in {None, check.part} and (asked.only is None or check.name in asked.only)
    ]
    if not chosen:
        parser.error(f"no such check; there are: {', '.join(check.name for check in checks(settings))}")
    failed = 0
    for part in sorted({check.part for check in chosen}):
        for line in run([check for check in chosen if check.part == part], settings, asked.out, asked.minutes):
            failed += "error" in line
            print(json.dumps(line), flush=True)
    print(f"{len(chosen)} checks, {failed} failed; lines added to {asked.out}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
