"""The machine's facts, and what is run as a command: fast paths, tests that need a GPU, a sweep, the evaluation."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.gpu.run import Settings
from benchmarks.starting.milestones import Story, spread

_PACKAGES = ("torch", "triton", "transformers", "deepspeed", "ray", "nvidia-cudnn-cu13", "nvidia-nccl-cu13")
_ROOT = Path(__file__).parents[2]


def machine(settings: Settings) -> dict[str, Any]:
    """Versions, the device, and what a process takes of it before its first tensor (`gpu_share.CUDA_CONTEXT`)."""
    import torch

    versions = dict[str, str | None]()
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    figures: dict[str, Any] = {
        "python": sys.version.split()[0],
        "versions": versions,
        "cpus": len(os.sched_getaffinity(0)),
        "host_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "programs": {name: shutil.which(name) for name in ("gcc", "g++", "nvcc")},
    }
    if settings.cuda:
        card = torch.cuda.get_device_properties(0)
        torch.ones(256, 256, device=settings.device) @ torch.ones(256, 256, device=settings.device)
        free, total = torch.cuda.mem_get_info()
        figures |= {
            "device": card.name,
            "capability": f"{card.major}.{card.minor}",
            "device_bytes": card.total_memory,
            "context_bytes": total - free - torch.cuda.memory_reserved(),  # if no other process uses the device
        }
    return figures


def fast_paths(settings: Settings) -> dict[str, Any]:
    """`letheon doctor --fast-paths`. Raises RuntimeError if a path is off."""
    if not settings.cuda:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found = json.loads(_run([sys.executable, "-m", "letheon.cli", "doctor", "--fast-paths", "--json"]))
    if off := [each for each in found if each["state"].startswith("off")]:
        raise RuntimeError(f"fast paths are off: {json.dumps(off)}")
    return {"paths": found}


def tests(settings: Settings, *chosen: str) -> dict[str, Any]:
    """How many of these tests passed; on a CPU those for GPUs are skipped. Raises if one fails or none is found."""
    import pytest

    tally = _Tally()
    os.chdir(_ROOT)
    if pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *chosen], plugins=[tally]) != 0:
        raise RuntimeError(f"tests failed: {dict(tally.outcomes)}")
    return dict(tally.outcomes)


class _Tally:
    """A plugin of pytest that counts how tests ended."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1


def sweep(settings: Settings, share: str, *changes: str) -> dict[str, Any]:
    """A quickstart of few trials: seconds between trials, and its memory against the prediction.

    `share`: of a GPU per worker; 0 trains on the CPU of a machine that has a card. Tiny: the sweep is only planned.
    """
    command = [sys.executable, "-m", "letheon.cli"]
    os.environ.pop("DS_ACCELERATOR")  # the sweep sets it for its workers
    with tempfile.TemporaryDirectory(prefix="letheon-sweep-") as name:
        keys = [f"trial.gpus_per_worker={share if settings.cuda else 0}", *changes]
        if settings.cuda and float(share):
            keys.append("trial.precision=bf16")
        arguments = ["quickstart", "--root", name, *(part for key in keys for part in ("--set", key))]
        if settings.tiny:
            return {"planned": len(_run([*command, "plan", *arguments]).splitlines())}
        _run([*command, "sweep", *arguments])
        story = Story(Path(name) / "sweeps" / "quickstart")
    reports = [row["metrics"] for row in story.rows if row["kind"] == "report"]
    gaps = story.gaps()
    return {
        "trials": story.trials,
        "between_trials": spread(gaps) if gaps else None,
        "peak_memory_bytes": max(each.get("peak_memory_bytes") or 0 for each in reports),
        "predicted_memory_bytes": max(each.get("predicted_memory_bytes") or 0 for each in reports),
        "train_seconds": statistics.median(each["train_seconds"] for each in reports),
    }


def evaluation(settings: Settings) -> dict[str, Any]:
    """`benchmarks/evaluation.py` on models made before (`--make`), with the peer's own code if there is a checkout."""
    line = [
        sys.executable,
        str(_ROOT / "benchmarks" / "evaluation.py"),
        "--device",
        settings.device,
        "--threads",
        str(settings.threads),
    ]
    options = {"--models": settings.models, "--tofu": settings.tofu, "--peer": settings.peer, "--repeats": "2"}
    said = _run([*line, *(part for name, value in options.items() if value for part in (name, value))])
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found | {"without_graphs": said.count("'recorded decoding' is off")}


def _run(line: list[str]) -> str:
    """What the command wrote to its output. Raises RuntimeError, after showing all it wrote, if it failed."""
    done = subprocess.run(line, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        raise RuntimeError(f"exit code {done.returncode}: {' '.join(line)}")
    return done.stdout.strip()
