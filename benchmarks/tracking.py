"""What recording costs the driver: 1,000 trials of 10 epochs through the real tracker, at the pace of a real sweep.

    python benchmarks/tracking.py [--trials N] [--trial-seconds S] [--slots N] [--server]

Time is virtual: trials take `--trial-seconds` of their slot, rows arrive when they would, and the mirror is called once
a second as the recorder calls it, with samples, system metrics and uploads of the journal. The mirror's own time is
real. The default of 45 s is a quickstart trial on two cores (361 s for 16 trials in 2 slots, preparation included). The
last line is one JSON object; `share` is the mirror's time over the sweep's.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from mlflow import MlflowClient

from letheon.journal import Row
from letheon.sweep.mirror import Mirror
from letheon.tracking.system_metrics import SystemMetrics
from letheon.tracking.tracker import Extras, Tracker

EPOCHS = 10
METRICS = 45  # a report of the quickstart has as many
FRACTIONS = ("0.01", "0.05", "0.1")
METHODS = ("npo", "npo_rt", "ga_rt", "simnpo")
START = 1_700_000_000.0
SAMPLES = [{"set": "forget", "question": "Who?" * 10, "answer": "Nobody. " * 10, "generated": "Some. " * 10}] * 4
SPEC = {
    "name": "tracking",
    "benchmark": {"name": "fictional"},
    "search": {"method": {"choice": list(METHODS)}, "forget_fraction": {"choice": [float(f) for f in FRACTIONS]}},
}
CALLS = ("create_run", "log_batch", "set_terminated", "update_run", "set_tag", "log_inputs", "log_artifact")


class Clock:
    """Virtual unix seconds."""

    now = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Watch:
    """What rounds took: seconds of wall time, and of processor time, which a busy machine inflates less."""

    wall: float = 0.0
    cpu: float = 0.0
    worst: float = 0.0
    rounds: int = 0

    def time(self, write: Callable[[list[Row]], str | None], rows: list[Row]) -> None:
        """One round. Fails if the store refused."""
        started, worked = time.perf_counter(), time.process_time()
        problem = write(rows)
        spent = time.perf_counter() - started
        if problem is not None:
            raise RuntimeError(problem)
        self.wall, self.cpu = self.wall + spent, self.cpu + time.process_time() - worked
        self.worst, self.rounds = max(self.worst, spent), self.rounds + 1


def metrics(number: int, epoch: int) -> dict[str, float]:
    """Metrics of a trial that forgets more with every epoch, some faster than others."""
    speed = (number * 7919 % 97) / 97
    found = {
        "log10_forget_quality": -20.0 + 19.0 * speed * epoch / EPOCHS,
        "model_utility": 0.6 - 0.05 * speed * epoch / EPOCHS,
        "utility_ratio": 1.0 - 0.08 * speed * epoch / EPOCHS,
        "train_seconds": 2.0,
        "eval_seconds": 2.0,
    }
    return found | {f"metric_{i}": speed * i + epoch for i in range(METRICS - len(found))}


def sweep(trials: int, seconds: float, slots: int, folder: Path) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """(moment, kind, fields) of every row in order; writes what the models of a trial said where a trial does."""
    yield START, "sweep", {"state": "preparing"}
    yield START, "sweep", {"state": "running", "info": {"slots": slots, "gpus_per_trial": 1}}
    step = seconds / EPOCHS
    for group in range(0, trials, slots):
        members = range(group, min(group + slots, trials))
        begun = START + group // slots * seconds
        shift = {number: (number - group) * step / slots for number in members}
        events = [(begun + shift[n] + epoch * step, epoch, n) for n in members for epoch in range(EPOCHS + 1)]
        for moment, epoch, number in sorted(events):
            trial, stratum = f"t{number:04d}", FRACTIONS[number % len(FRACTIONS)]
            if epoch == 0:
                config = {"method": METHODS[number % len(METHODS)], "learning_rate": 1e-5 * (1 + number % 9)}
                config |= {"forget_fraction": float(stratum), "seed": 0, "batch_size": 32}
                yield moment, "trial", {"trial": trial, "stratum": stratum, "config": config, "baseline": metrics(0, 0)}
                continue
            file = folder / "trials" / trial / f"epoch-{epoch:03d}" / "metrics.json"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps({"samples": SAMPLES}))
            decision = {"action": "continue", "epoch": epoch, "rung": epoch if epoch in (1, 3, 9) else None}
            decision |= {"reason": "rank 3 of 40 at its rung", "rank": 3, "of": 40}
            yield (
                moment,
                "report",
                {"trial": trial, "epoch": epoch, "metrics": metrics(number, epoch), "decision": decision},
            )
            if epoch == EPOCHS:
                end = {"trial": trial, "outcome": "completed", "reason": "all epochs", "epoch": epoch}
                yield moment, "end", end


def record(uri: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the sweep; what it took."""
    clock, counts = Clock(), Counter[str]()
    listed: list[Row] = []
    for name in CALLS:
        setattr(MlflowClient, name, _counted(name, getattr(MlflowClient, name), counts))
    tracker = Tracker(folder, "tracking", "sweep", SPEC, uri, Extras(folder, system=SystemMetrics(clock)))
    tracker.check()
    mirror = Mirror(tracker, folder, clock)
    watch, due = Watch(), START
    for moment, kind, fields in sweep(arguments.trials, arguments.trial_seconds, arguments.slots, folder):
        if moment > due:
            clock.now = due
            watch.time(mirror.sync_new, listed)
            due = max(due + 1.0, float(int(moment)))
        listed.append({"kind": kind, "seq": len(listed) + 1, "time": moment, **fields})
    clock.now = listed[-1]["time"]
    listed.append({"kind": "sweep", "seq": len(listed) + 1, "time": clock.now, "state": "finished"})
    watch.time(mirror.sync_all, listed)
    length = clock.now - START
    return {
        "trials": arguments.trials,
        "sweep_seconds": round(length),
        "tracking_seconds": round(watch.wall, 1),
        "cpu_seconds": round(watch.cpu, 1),
        "share": round(watch.wall / length, 5),
        "cpu_share": round(watch.cpu / length, 5),
        "ms_per_trial": round(1000 * watch.wall / arguments.trials, 1),
        "cpu_ms_per_trial": round(1000 * watch.cpu / arguments.trials, 1),
        "rounds": watch.rounds,
        "worst_round_ms": round(1000 * watch.worst),
        "calls_per_trial": round(sum(counts.values()) / arguments.trials, 1),
        "calls": dict(counts),
    }


def _counted(name: str, real: Callable[..., Any], counts: Counter[str]) -> Callable[..., Any]:
    real = getattr(real, "counted", real)

    def call(*args: Any, **kwargs: Any) -> Any:
        counts[name] += 1
        return real(*args, **kwargs)

    call.counted = real  # type: ignore[attr-defined]
    return call


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of an `mlflow server` of one worker over SQLite, gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            try:
                urlopen(f"{address}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--trial-seconds", type=float, default=45.0)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--server", action="store_true", help="also with an mlflow server")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="letheon-tracking-") as temporary:
        for store in ("sqlite", "server") if arguments.server else ("sqlite",):
            folder = Path(temporary) / store
            folder.mkdir()
            if store == "server":
                with server(folder) as address:
                    results[store] = record(address, arguments, folder)
            else:
                results[store] = record(f"sqlite:///{folder / 'mlflow.db'}", arguments, folder)
            told = results[store]
            print(
                f"{store:8} {told['trials']} trials x {EPOCHS} epochs: {told['tracking_seconds']} s of "
                f"{told['sweep_seconds']} s ({100 * told['share']:.2f}%), {told['ms_per_trial']} ms per trial "
                f"({told['cpu_ms_per_trial']} ms of processor time), "
                f"{told['calls_per_trial']} calls per trial, longest round {told['worst_round_ms']} ms"
            )
    print(json.dumps({"benchmark": "tracking", **results}))


if __name__ == "__main__":
    main()
