"""What a search costs until it has found the front: Letheon and the strongest baselines on recorded trials.

Every policy sweeps the same tables in virtual time. Settings are chosen on all tables but one and reported on that one
(`docs/search.md`, "The protocol"). Three reports for each table, medians over seeds of the worst stratum: trial-epochs
of the whole sweep until a stratum has 90 and 95% of the hypervolume that the whole table has above the utility floor,
its share of it after 8, 16, 32 and 64 trials, and the virtual time with 1, 4 and 16 workers.

    python benchmarks/search.py [--table FILE …] [--only POLICY …] [--seeds N] [--first-seed N] [--fresh]

`--table` adds a table from outside, in the format of `letheon.search.trajectories`: it is reported the same way and
never chosen on. The other libraries' schedulers and samplers are their own objects; a library that is not installed is
named and skipped. Results are kept in benchmarks/search_results and computed again when the table, the code or the
library has changed, or with `--fresh`. The last line is one JSON object; null means never.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # processes run side by side; before numpy is loaded

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.policies.catalog import POLICIES  # noqa: E402 (after the path is set)
from benchmarks.protocol import report  # noqa: E402
from benchmarks.protocol.rotation import WORKERS, Source, compare  # noqa: E402

FIRST_SEED = 300
KEPT = HERE / "search_results"


def main() -> None:
    """Run, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--table", type=Path, nargs="+", default=[], help="tables from outside")
    options.add_argument("--only", nargs="+", choices=list(POLICIES), help="these policies, and random")
    options.add_argument("--seeds", type=int, default=60)
    options.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options.add_argument("--workers", type=int, nargs="+", default=list(WORKERS), help="trials at a time; 4 is needed")
    options.add_argument("--fresh", action="store_true", help="use no kept result")
    asked = options.parse_args()
    began = time.monotonic()
    names = policies(asked.only)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    workers = tuple(dict.fromkeys((WORKERS[0], *asked.workers)))
    found = compare(sources(asked.table), names, seeds, asked.fresh, workers)
    for line in report.lines(found):
        print(line)
    kept = len(found.results) - found.computed
    print(f"\n{found.computed} sweeps computed, {kept} kept from earlier runs, {time.monotonic() - began:.0f} s")
    print(json.dumps(report.summary(found)))


def sources(outside: Sequence[Path]) -> list[Source]:
    """The shipped tables by the names of their folders, then those from outside by the names of their files."""
    shipped = sorted(HERE.glob("tables/*/table.parquet"))
    own = [Source(file.parent.name, str(file), True, KEPT / f"{file.parent.name}.parquet") for file in shipped]
    return [*own, *(Source(file.stem, str(file.resolve()), False, None) for file in outside)]


def policies(only: Sequence[str] | None) -> list[str]:
    """Those that can run here. Says which cannot."""
    wanted = [name for name in POLICIES if only is None or name in only or name == "random"]
    for name in wanted:
        if (missing := POLICIES[name].missing) is not None:
            print(f"skipped {name}: {missing}")
    return [name for name in wanted if POLICIES[name].missing is None]


if __name__ == "__main__":
    main()
