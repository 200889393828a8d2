"""What `budget.plateau` saves and loses: sweeps of 64 trials on recorded tables that end earlier. One JSON line last.

    python benchmarks/plateau.py [--seeds N] [--first-seed N] [--shares X …] [--trials N]

For each table and searcher, medians over seeds: trial-epochs with and without the plateau, the share of them that is
saved, and the share of the worst stratum's hypervolume (of what the sweep finds without a plateau) that is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # processes run side by side; before numpy is loaded

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.policies.catalog import LATE, NO_STOP, Settings, spec_for  # noqa: E402 (after the path is set)
from benchmarks.protocol.progress import Watch  # noqa: E402
from benchmarks.protocol.sweeps import table_of, whole  # noqa: E402
from letheon.search.simulator import simulate  # noqa: E402
from letheon.spec.rules_objectives import goals_of  # noqa: E402

SEARCHERS: Mapping[str, Settings] = {
    "random": {**NO_STOP, "searcher": {"name": "random"}},
    "optuna": {**LATE, "searcher": {"name": "optuna"}},
    "surrogate": LATE,
}
WORKERS = 4
Runs = list[tuple[int, Mapping[str, float]]]


@dataclass(frozen=True)
class Task:
    """One sweep. `plateau`: None for none."""

    table: str
    searcher: str
    plateau: float | None
    seed: int
    trials: int


def run(task: Task) -> tuple[int, Mapping[str, float]]:
    """Trial-epochs, and each stratum's share of the table's hypervolume."""
    table = table_of(task.table)
    spec = spec_for("letheon", SEARCHERS[task.searcher], task.seed, table, whole(table))
    budget = spec.budget.model_copy(update={"epochs": None, "trials": task.trials, "plateau": task.plateau})
    spec = spec.model_copy(update={"budget": budget})
    watch = Watch(goals_of(spec).search_goals, table, whole(table), most_trials=whole(table))
    simulate(spec, table, WORKERS, stop_when=watch)
    return watch.epochs_run, watch.share_after()[64]


def main() -> None:
    """Run, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--first-seed", type=int, default=300)
    options.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    options.add_argument("--trials", type=int, default=64)
    asked = options.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    found: dict[str, dict[str, float]] = {}
    print(f"{'table':12} {'searcher':10} {'plateau':>8} {'ended':>6} {'epochs':>7} {'saved':>6} {'lost':>6}")
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        for file in sorted(HERE.glob("tables/*/table.parquet")):
            for name in SEARCHERS:
                runs: dict[float | None, Runs] = {
                    share: list(pool.map(run, [Task(str(file), name, share, seed, asked.trials) for seed in seeds]))
                    for share in (None, *asked.shares)
                }
                for share in asked.shares:
                    each = compared(runs[None], runs[share])
                    found[f"{file.parent.name} {name} {share:g}"] = each
                    figures = f"{each['ended']:>6.0%} {each['epochs']:>7.0f} {each['saved']:>6.1%} {each['lost']:>6.2%}"
                    print(f"{file.parent.name:12} {name:10} {share:>8g} {figures}", flush=True)
    print(json.dumps({"seeds": asked.seeds, "trials": asked.trials, "found": found}))


def compared(without: Runs, with_plateau: Runs) -> dict[str, float]:
    """`ended`: the share of sweeps that the plateau ended; `epochs`, `saved`, `lost`: medians over seeds."""
    pairs = list(zip(without, with_plateau, strict=True))
    lost = [max(1 - after[key] / value for key, value in before.items() if value) for (_, before), (_, after) in pairs]
    return {
        "ended": sum(short < long for (long, _), (short, _) in pairs) / len(pairs),
        "epochs": float(median(short for _, (short, _) in pairs)),
        "saved": round(median(1 - short / long for (long, _), (short, _) in pairs), 4),
        "lost": round(median(lost), 4),
        "lost_mean": round(sum(lost) / len(lost), 4),
    }


if __name__ == "__main__":
    main()
