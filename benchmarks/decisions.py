"""How long a decision takes: a sweep of 10,000 trials in virtual time, and how many sweeps of 64 fit into a minute.

    python benchmarks/decisions.py [--trials N] [--sweeps N]

Trials are drawn at random from the forgetting table, so the controller is what is timed: scheduler, budget, history.
One process. The last line is one JSON object; times are microseconds per report, by the number of trials started.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from letheon.journal import Row
from letheon.search.simulator import simulate
from letheon.search.trajectories import Table
from letheon.spec.model import SweepSpec

TABLE = Path(__file__).resolve().parent / "tables" / "fictional" / "table.parquet"
WORKERS = 16
SMALL = 64


def spec_of(table: Table, trials: int, seed: int, scheduler: str) -> SweepSpec:
    """A random sweep; `none` measures the simulation alone."""
    return SweepSpec.model_validate(
        {
            "name": "decisions",
            "search": table.domains(),
            "scheduler": {"name": scheduler, "max_epochs": table.max_epochs},
            "searcher": {"name": "random", "seed": seed},
            "budget": {"trials": trials},
        }
    )


class Clock:
    """Called with every row: notes the time whenever another tenth of the trials has been started."""

    def __init__(self, trials: int) -> None:
        self._every = max(1, trials // 10)
        self._trials = self._reports = 0
        self._since = time.perf_counter()
        self.curve: list[tuple[int, float]] = []

    def __call__(self, row: Row) -> bool:
        self._reports += row["kind"] == "report"
        self._trials += row["kind"] == "trial"
        if row["kind"] == "trial" and self._trials % self._every == 0:
            now = time.perf_counter()
            self.curve.append((self._trials, (now - self._since) / max(1, self._reports) * 1e6))
            self._since, self._reports = now, 0
        return False


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--sweeps", type=int, default=200)
    options = parser.parse_args()
    table = Table.read(TABLE)
    curves: dict[str, list[tuple[int, float]]] = {}
    for scheduler in ("none", "asha", "pareto_asha"):
        clock = Clock(options.trials)
        simulate(spec_of(table, options.trials, 0, scheduler), table, WORKERS, stop_when=clock)
        curves[scheduler] = clock.curve
    print(f"{'trials':>8}" + "".join(f"{name:>14}" for name in curves))
    for points in zip(*curves.values(), strict=True):
        print(f"{points[0][0]:>8}" + "".join(f"{micros:>11.0f} us" for _, micros in points))
    started = time.perf_counter()
    for seed in range(options.sweeps):
        simulate(spec_of(table, SMALL, seed, "pareto_asha"), table, 4)
    per_minute = options.sweeps / (time.perf_counter() - started) * 60
    print(f"{per_minute:.0f} simulated sweeps of {SMALL} trials per minute")
    result: dict[str, Any] = {
        "trials": options.trials,
        "microseconds_a_report": {name: [round(micros) for _, micros in curve] for name, curve in curves.items()},
        "sweeps_a_minute": round(per_minute),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
