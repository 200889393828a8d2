"""A sweep that is harmed at random until its time is over, against the same sweep in peace. One JSON line last.

    python benchmarks/soak.py [--minutes 3] [--trials 40] [--seed 0]

Tiny trials of the synthetic experiment, one at a time, so that the order of events is that of the journal: the
searcher learns from every report, and one that came out otherwise would change all that follows. At random moments the
driver or a worker is killed (SIGKILL), or the tracking server is for a while; a killed driver is followed by `resume`.
When a sweep has ended before the time is over the next one begins. Every one of them must have the rows of the
undisturbed one, each metric once in MLflow, and leave neither processes nor files. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.soaked import Server, Soaked, wait_for  # type: ignore[import-not-found]  # beside this script
from faults.verdict import leaks, mlflow_differences, story  # type: ignore[import-not-found]

PAUSE = (1.0, 8.0)
OUTAGE = (2.0, 12.0)
KINDS = {"worker": 0.45, "driver": 0.35, "tracking": 0.2}
LIMIT = 240.0


class Harm:
    """What is done to a sweep, and how long it took to recover: the next report, or the records up to date again."""

    def __init__(self, sweep: Any, server: Any, chance: random.Random) -> None:
        self.sweep, self.server, self.chance = sweep, server, chance
        self.recovered: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def once(self) -> None:
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        began = getattr(self, kind)()
        if began is not None:
            self.recovered[kind].append(time.monotonic() - began)

    def worker(self) -> float | None:
        began = time.monotonic()
        return began if self.sweep.kill_worker() and self._goes_on() else None

    def driver(self) -> float | None:
        if not self.sweep.kill_driver():
            return None
        began = time.monotonic()
        self.sweep.start("resume", self.sweep.name)
        return began if self._goes_on() else None

    def tracking(self) -> float | None:
        """Timed from the moment that the server answers again."""
        self.server.stop()
        time.sleep(self.chance.uniform(*OUTAGE))
        self.server.start()
        began = time.monotonic()
        return began if self._until(lambda: self.sweep.tracking_is_ok) else None

    def _goes_on(self) -> bool:
        """One more report, or the end."""
        before = self.sweep.reports
        return self._until(lambda: self.sweep.reports > before) and self.sweep.reports > before

    def _until(self, condition: Callable[[], bool]) -> bool:
        return bool(wait_for(lambda: condition() or self.sweep.over, LIMIT))


def disturbed(sweep: Any, server: Any, chance: random.Random, until: float) -> dict[str, list[float]]:
    """Run one sweep to its end, harmed again and again until the time is over."""
    harm = Harm(sweep, server, chance)
    sweep.start("sweep", sweep.space)
    wait_for(lambda: sweep.reports > 0 or sweep.over, LIMIT)
    while not sweep.over:
        pause = time.monotonic() + chance.uniform(*PAUSE)
        wait_for(lambda pause=pause: sweep.over or time.monotonic() > pause, LIMIT)
        if not sweep.over and time.monotonic() < until:
            harm.once()
    if sweep.is_interrupted:  # it ended while the tracking server was down, and has only to be registered
        sweep.start("resume", sweep.name)
    sweep.finish()
    return harm.recovered


def soak(folder: Path, minutes: float, trials: int, seed: int) -> dict[str, Any]:
    chance, server = random.Random(seed), Server(folder)
    server.start()
    started = time.monotonic()
    peace = Soaked(folder / "peace", trials, server.uri)
    peace.start("sweep", peace.space)
    wait_for(lambda: peace.over, 60 * LIMIT)
    peace.finish()
    wanted, peaceful = story(peace.rows), time.monotonic() - started
    print(f"in peace: {trials} trials, {peace.reports} reports in {peaceful:.0f} s", flush=True)
    until = time.monotonic() + 60 * minutes
    recovered: dict[str, list[float]] = {kind: [] for kind in KINDS}
    faults: list[str] = mlflow_differences(server.uri, peace)
    sweeps = 0
    while time.monotonic() < until:
        sweeps += 1
        sweep = Soaked(folder / f"soaked{sweeps}", trials, server.uri)
        for kind, seconds in disturbed(sweep, server, chance, until).items():
            recovered[kind] += seconds
        if story(sweep.rows) != wanted:
            faults.append(f"{sweep.name}: rows differ from those of the undisturbed sweep; kept in {folder}")
        faults += mlflow_differences(server.uri, sweep)
        print(f"{sweep.name}: { ({kind: len(seconds) for kind, seconds in recovered.items()}) } so far", flush=True)
    server.stop()
    faults += leaks(folder)
    return {
        "benchmark": "soak",
        "minutes": round((time.monotonic() - started) / 60, 1),
        "trials": trials,
        "sweeps": sweeps,
        "peaceful_seconds": round(peaceful, 1),
        "kills": {kind: len(seconds) for kind, seconds in recovered.items()},
        "recovery_seconds": {kind: _summary(seconds) for kind, seconds in recovered.items()},
        "faults": faults,
        "cpus": len(os.sched_getaffinity(0)),
    }


def _summary(seconds: list[float]) -> dict[str, float] | None:
    return {"median": round(statistics.median(seconds), 1), "worst": round(max(seconds), 1)} if seconds else None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    result = soak(folder, options.minutes, options.trials, options.seed)
    for kind, count in result["kills"].items():
        times = result["recovery_seconds"][kind]
        after = f"recovered in {times['median']} s (median), {times['worst']} s at worst" if times else ""
        print(f"{kind:9} {count:3} times  {after}")
    for fault in result["faults"]:
        print(fault)
    print(json.dumps(result))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
