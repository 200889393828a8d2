"""Sweeps under random faults for a given time, compared with the same sweep undisturbed. One JSON line last.

    python benchmarks/soak.py [--minutes 3] [--trials 40] [--seed 0] [--kinds raylet driver …]

Tiny trials of the synthetic experiment, one at a time, so that events happen in the journal's order: the searcher
learns from every report, so one different report would change everything after it. Sweeps alternate between a standing
cluster of two nodes and a Ray of their own, all recorded by one `mlflow server`. At random moments one of these is
killed with SIGKILL: the driver, the resident worker, the raylet of the trials' node (on the cluster another node
replaces it; otherwise it is the driver's only node), or for a while the tracking server. After a killed driver comes
`resume`. When a sweep ends before the time is over, the next one starts.

Each sweep must have the rows and the front of the undisturbed one, each run and each metric once in MLflow, and leave
no processes, placement groups, actors, temporary folders or shared memory. Handles and memory of drivers and workers
are recorded. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults.cluster import Cluster  # type: ignore[import-not-found]  # next to this script
from faults.harm import KINDS, disturbed, undisturbed  # type: ignore[import-not-found]
from faults.leaks import MARK, Census, files, running, shared_memory  # type: ignore[import-not-found]
from faults.soaked import Server, Soaked  # type: ignore[import-not-found]
from faults.verdict import front, mlflow_differences, story  # type: ignore[import-not-found]


class Soak:
    """All of it, in a folder; `faults` is what was found wrong, `recovered` seconds by ground and kind."""

    def __init__(self, folder: Path, temporary: Path, trials: int, seed: int, kinds: Sequence[str]) -> None:
        self.folder, self.temporary, self.trials, self.chance = folder, temporary, trials, random.Random(seed)
        self.server = Server(folder)
        self.environment = {
            **os.environ,
            MARK: str(folder),
            "MLFLOW_TRACKING_URI": self.server.uri,
            "TMPDIR": str(temporary),
            "RAY_TMPDIR": str(temporary / "ray"),
        }
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        self.faults: list[str] = []
        self.recovered: dict[str, dict[str, list[float]]] = {
            ground: {kind: [] for kind in kinds} for ground in ("own", "cluster")
        }
        self.now: Soaked | None = None
        self.sweeps = 0

    def whom(self) -> dict[str, int | None]:
        """Processes to watch, while there are trials: at its end a driver closes much, and makes pictures."""
        worker = None if self.now is None else self.now.worker
        return {} if self.now is None or worker is None else {"driver": self.now.driver, "worker": worker}

    def end(self) -> None:
        """Whatever it has started and still runs."""
        self.server.stop()
        if self.now is not None:
            self.now.kill_driver()

    def peace(self) -> Soaked:
        """The sweep that everything is compared with."""
        self.now = sweep = Soaked(self.folder / "peace", self.trials, self.environment)
        undisturbed(sweep)
        self.faults += mlflow_differences(self.server.uri, self.server.database, sweep)
        return sweep

    def one(self, wanted: Soaked, until: float, cluster: Any | None) -> None:
        """One harmed sweep, from its beginning to its verdict."""
        self.sweeps += 1
        ground = "own" if cluster is None else "cluster"
        place = {} if cluster is None else {"environment": cluster.environment, "address": cluster.address}
        self.now = sweep = Soaked(
            self.folder / f"{ground}{self.sweeps}", self.trials, **{"environment": self.environment, **place}
        )
        problem = disturbed(sweep, self.server, cluster, self.chance, until, self.recovered[ground])
        if problem is not None:
            self.faults.append(f"{sweep.name}: {problem}")
            return
        if story(sweep.rows) != story(wanted.rows):
            self.faults.append(f"{sweep.name}: rows differ from those of the undisturbed sweep; kept in {self.folder}")
        if front(sweep) != front(wanted):
            self.faults.append(f"{sweep.name}: its front is not that of the undisturbed sweep")
        self.faults += mlflow_differences(self.server.uri, self.server.database, sweep)
        if cluster is not None:
            time.sleep(5)  # for Ray to end what the last driver had
            self.faults += [f"{sweep.name}: left on the cluster: {one}" for one in cluster.ask("left")]
        counts = {kind: len(seconds) for kind, seconds in self.recovered[ground].items()}
        print(f"{sweep.name}: {len(self.faults)} faults; {ground}: {counts} so far", flush=True)


def soak(folder: Path, temporary: Path, minutes: float, trials: int, seed: int, kinds: Sequence[str]) -> dict[str, Any]:
    before = shared_memory()
    it = Soak(folder, temporary, trials, seed, kinds)
    started = time.monotonic()
    it.server.start()
    try:
        with Cluster(folder, len(os.sched_getaffinity(0)), it.environment) as cluster:
            with Census(it.whom) as peaceful:
                wanted = it.peace()
            peace_seconds = time.monotonic() - started
            print(f"undisturbed: {trials} trials, {wanted.reports} reports in {peace_seconds:.0f} s", flush=True)
            until = time.monotonic() + 60 * minutes
            with Census(it.whom) as harmed:
                while time.monotonic() < until:
                    it.one(wanted, until, None if it.sweeps % 2 else cluster)
    finally:  # of an error of this benchmark, too
        it.end()
    it.faults += running(str(folder)) + files(temporary, folder)
    it.faults += [f"left in shared memory: {name}" for name in sorted(shared_memory() - before)]
    return {
        "benchmark": "soak",
        "minutes": round((time.monotonic() - started) / 60, 1),
        "trials": trials,
        "reports": wanted.reports,
        "seed": seed,
        "sweeps": it.sweeps,
        "peaceful_seconds": round(peace_seconds, 1),
        "recovery_seconds": {
            ground: {kind: _summary(seconds) for kind, seconds in found.items() if seconds}
            for ground, found in it.recovered.items()
        },
        "held": {"peace": peaceful.summary(), "harmed": harmed.summary()},
        "faults": it.faults,
        "cpus": len(os.sched_getaffinity(0)),
        "load": [round(one, 1) for one in os.getloadavg()],
    }


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"times": len(seconds), "median": round(statistics.median(seconds), 1), "worst": round(max(seconds), 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3, help="how long to inject faults")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="faults; default: all")
    options = parser.parse_args()
    # A short name: Ray's sockets lie below it and may have no more than 107 characters.
    folder, temporary = Path(tempfile.mkdtemp(prefix="soak-")), Path(tempfile.mkdtemp(prefix="s-"))
    (temporary / "ray").mkdir()
    result = soak(folder, temporary, options.minutes, options.trials, options.seed, options.kinds)
    for ground, kinds in result["recovery_seconds"].items():
        for kind, times in kinds.items():
            seconds = f"{times['median']} s (median), {times['worst']} s at worst"
            print(f"{ground:8} {kind:9} {times['times']:3} times, {seconds}")
    for fault in result["faults"]:
        print(fault)
    print(json.dumps(result))
    shutil.rmtree(temporary)
    if not result["faults"]:
        shutil.rmtree(folder)
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
