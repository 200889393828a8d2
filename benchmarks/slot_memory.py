"""Memory of a slot over hundreds of trials: does anything grow? One JSON line last.

    python benchmarks/slot_memory.py [--trials 500]

One resident worker takes one trial after another: four methods, two fractions, a new learning rate each, one epoch with
evaluation and checkpoint, whose folder is then deleted. The model is tiny, so hundreds of trials take minutes. Memory
is resident (VmRSS) of the worker and of the mailbox, after each trial; growth is the slope of a straight line through
all trials except the first fifth, in KiB per trial.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from letheon.cluster.session import ray_session
from letheon.preparation.artifacts import Prepared
from letheon.preparation.builder import prepare
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.trial_config import trial_config
from letheon.workers.pool import pool_of
from trainables.config import Hyperparameters
from trainables.jobs.specs import TrialJob

SPACE = {
    "name": "memory",
    "benchmark": {"name": "fictional", "people": 4, "evaluation_rows": 8},
    "model": {"base": "tiny", "recipe": {"epochs": 1}},
    "search": {"method": "ga", "forget_fraction": {"choice": [0.25, 0.5]}, "learning_rate": 1.0e-4},
    "scheduler": {"name": "asha", "max_epochs": 1, "grace_epochs": 1},
    "budget": {"trials": 1},
    "trial": {"workers": 1, "batch_size": 8},
    "evaluation": {"max_new_tokens": 4, "batch_tokens": 2048},
}
METHODS: tuple[dict[str, Any], ...] = (
    {"method": "ga"},
    {"method": "ga_rt", "retain_weight": 1.0},
    {"method": "npo", "beta": 0.1},
    {"method": "npo_kl", "beta": 0.1, "retain_weight": 1.0},
)
PROCESSES = {"worker": "ray::RayTrainWorker", "mailbox": "ray::Mailbox"}
ROWS = 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=500)
    trials = options.parse_args().trials
    with tempfile.TemporaryDirectory(prefix="letheon-memory-") as name, ray_session(None):
        folder = Path(name)
        (folder / "memory.yaml").write_text(yaml.safe_dump(SPACE))
        spec = load_spec(folder / "memory.yaml")
        with pool_of(spec, 1, folder) as pool:
            prepared = prepare(spec, folder, pool, say=lambda text: None)
            began, seen = time.monotonic(), list[dict[str, int]]()
            print(f"{'trials':>6} {'seconds':>8} " + " ".join(f"{name:>12}" for name in PROCESSES))
            for index in range(trials):
                run(pool, spec, prepared, folder / f"t{index:03d}", index)
                seen.append(memory())
                if (index + 1) % max(1, trials // ROWS) == 0:
                    print_row(index + 1, time.monotonic() - began, seen[-1])
            seconds = (time.monotonic() - began) / trials
    found = {name: round(slope([look[name] for look in seen]), 2) for name in PROCESSES}
    print(f"growth in KiB per trial: {', '.join(f'{name} {kib:+.2f}' for name, kib in found.items())}")
    last = {name: round(seen[-1][name] / 1024) for name in PROCESSES}
    print(
        json.dumps({"trials": trials, "seconds_per_trial": round(seconds, 2), "kib_per_trial": found, "last_mib": last})
    )


def run(pool: Any, spec: SweepSpec, prepared: Prepared, folder: Path, index: int) -> None:
    """One trial, from its job to its report."""
    hyper = Hyperparameters(
        **METHODS[index % len(METHODS)],
        forget_fraction=spec.fractions[index // len(METHODS) % len(spec.fractions)],
        learning_rate=1e-4 * (1 + index / 1000),
        batch_size=8,
        seed=index,
    )
    job = TrialJob(config=trial_config(spec, prepared, folder.name, hyper, folder))
    ((_, report),) = pool.run({folder.name: job})
    if "failed" in report:
        raise RuntimeError(f"{folder.name}: {report['failed']}")
    shutil.rmtree(folder)


def memory() -> dict[str, int]:
    """Resident KiB of each kind of process below this one; the largest where there are several."""
    found = dict.fromkeys(PROCESSES, 0)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text()
            mine = f"LETHEON_MEMORY={os.getpid()}" in (folder / "environ").read_text()
            status = (folder / "status").read_text()
        except OSError:
            continue
        for name, title in PROCESSES.items():
            if mine and words.startswith(title):
                found[name] = max(found[name], int(status.partition("VmRSS:")[2].split()[0]))
    return found


def slope(values: Sequence[int]) -> float:
    """KiB per trial, without the first fifth, in which caches fill."""
    rest = values[len(values) // 5 :]
    return statistics.linear_regression(range(len(rest)), rest).slope


def print_row(trials: int, seconds: float, now: Mapping[str, int]) -> None:
    """At once: a run takes minutes, and an interrupted one should have shown something."""
    print(f"{trials:6} {seconds:8.0f} " + " ".join(f"{now[name] / 1024:8.1f} MiB" for name in PROCESSES), flush=True)


if __name__ == "__main__":
    os.environ["LETHEON_MEMORY"] = str(os.getpid())  # by which processes of this run are known
    main()
