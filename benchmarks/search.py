"""What a search costs until it has found the front: Letheon, random search and Ray's ASHA on recorded trials.

Every policy sweeps the same table in virtual time with the same number of workers, until each stratum has 95% of the
hypervolume that the whole table has above the utility floor (in the stratum's box: from the untouched target model's
forget quality to 1, from the floor to the target's utility). The count is in trial-epochs of the whole sweep.

    python benchmarks/search.py [--table FILE] [--seeds N] [--first-seed N] [--workers N] [--ablations]

Seeds start at 300: 300 to 359 are held out; settings were chosen on 0 to 29 and 1000 to 1099.
Ray's schedulers and Optuna's searcher are Ray's own objects. The last line is one JSON object; null means "never": more
than half of the sweeps did not get there within 1,500 trial-epochs (random search may try everything).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # processes run side by side; before numpy is loaded

sys.path.insert(0, str(Path(__file__).resolve().parent))

from policies.compare import POLICIES, Task, run_task  # type: ignore[import-not-found]  # noqa: E402 (next to this script)
from policies.report import draw, summary, table_lines  # type: ignore[import-not-found]  # noqa: E402

HERE = Path(__file__).resolve().parent
TABLE = HERE / "tables" / "fictional" / "table.parquet"
HEADLINE = ("random", "ray_asha", "optuna_ray_asha", "letheon")


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE, help="trajectories, as in letheon.search.trajectories")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=300, help="300 to 359 are held out")
    parser.add_argument("--workers", type=int, default=4, help="trials at a time, in virtual time")
    parser.add_argument("--ablations", action="store_true", help="also Letheon with parts switched off")
    parser.add_argument("--figure", type=Path, default=HERE.parent / "docs" / "images" / "search.png")
    options = parser.parse_args()
    names = [name for name in POLICIES if name in HEADLINE or options.ablations]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    tasks = [Task(name, seed, str(options.table), options.workers) for seed in seeds for name in names]
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(run_task, tasks, chunksize=1))
    found = {name: [result for result in results if result.policy == name] for name in names}
    for line in table_lines(found):
        print(line)
    draw(found, options.figure)
    print(f"figure: {options.figure}")
    print(json.dumps(summary(found, options.table)))


if __name__ == "__main__":
    main()
