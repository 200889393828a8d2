"""What a thousand trials cost the driver: whole sweeps on a local Ray, with nothing replaced.

    python benchmarks/scale.py [--trials 100 300 1000] [--searcher NAME]

Each sweep is `letheon sweep npo_synthetic` with trials of one or two epochs of 25 small matrix products, so that almost
everything measured is the machinery: Tune, the scheduler, the searcher, the journal, MLflow over SQLite. Each sweep has
its own process, with clocks around those parts; time in a call to another part counts for that part. Milliseconds are
per trial, of the processor (`cpu`) and by the wall clock, which other work on the machine inflates. `early` and `late`
are the first and the last tenth of the trials, to show what grows; `whole` includes Ray's own threads. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PARTS = ("tune", "scheduler", "searcher", "journal", "recorder", "tracking")
BESIDE = ("recorder", "tracking")
"""In a thread next to the sweep, in rounds of up to 30 s: only sums over the whole sweep are meaningful."""
TENTHS = 10
OVERRIDES = ("scheduler.max_epochs=2", "scheduler.grace_epochs=1", "seeds=[1000]")


@dataclass
class Frame:
    """A part that runs now: when it began, and what other parts took since, each as (processor, wall) seconds."""

    name: str
    began: tuple[float, float]
    inner: list[float] = field(default_factory=lambda: [0.0, 0.0])


def now() -> tuple[float, float]:
    """(processor time of this thread, wall time) in seconds."""
    return time.thread_time(), time.perf_counter()


@dataclass
class Clocks:
    """Exclusive seconds of each part, (processor, wall), over all threads."""

    spent: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    _local: threading.local = field(default_factory=threading.local)

    @property
    def _stack(self) -> list[Frame]:
        stack: list[Frame] = self._local.__dict__.setdefault("stack", [])
        return stack

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block is this part's, but for the blocks of other parts within."""
        stack, frame = self._stack, Frame(name, now())
        stack.append(frame)
        try:
            yield
        finally:
            stack.pop()
            for i, end in enumerate(now()):
                took = end - frame.began[i]
                self.spent[name][i] += took - frame.inner[i]
                if stack:
                    stack[-1].inner[i] += took

    def until_now(self) -> dict[str, tuple[float, float]]:
        """What was spent, with what this thread is in the midst of."""
        found = {name: list(self.spent[name]) for name in PARTS}
        for i, moment in enumerate(now()):
            for frame, child in zip(self._stack, [*self._stack[1:], None], strict=True):
                end = child.began[i] if child else moment
                found.setdefault(frame.name, [0.0, 0.0])[i] += end - frame.began[i] - frame.inner[i]
        return {name: (cpu, wall) for name, (cpu, wall) in found.items()}

    def around(self, owner: Any, method: str, name: str) -> None:
        """Every call of the method is this part's."""
        real: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return real(*args, **kwargs)

        setattr(owner, method, timed)


@dataclass
class Watch:
    """The clocks at every tenth of the trials."""

    clocks: Clocks
    trials: int
    ended: int = 0
    marks: list[dict[str, Any]] = field(default_factory=list)
    processes: dict[str, dict[str, int]] = field(default_factory=dict)

    def mark(self) -> None:
        """Now, and for every part."""
        spent = self.clocks.until_now()
        self.marks.append({"ended": self.ended, "wall": time.perf_counter(), "cpu": time.process_time(), **spent})

    def row(self, kind: str) -> None:
        """A row has been written."""
        self.ended += kind == "end"
        if kind == "end" and (self.ended == 1 or self.ended % (self.trials // TENTHS) == 0):
            self.mark()
        if kind == "end" and self.ended == self.trials // 2:
            with self.clocks.part("watching"):
                self.processes = processes()

    def costs(self, first: int, last: int) -> dict[str, Any]:
        """Milliseconds per trial between two marks."""
        a, b = self.marks[first], self.marks[last]
        per = 1000 / (b["ended"] - a["ended"])
        seen = [name for name in PARTS if name not in BESIDE]
        known = {name: [per * (y - x) for x, y in zip(a[name], b[name], strict=True)] for name in seen}
        parts = {name: {"cpu": round(cpu, 2), "wall": round(wall, 2)} for name, (cpu, wall) in known.items()}
        whole = {"cpu": round(per * (b["cpu"] - a["cpu"]), 2), "wall": round(per * (b["wall"] - a["wall"]), 2)}
        return {**parts, "whole": whole}


def processes() -> dict[str, dict[str, int]]:
    """Title -> how many processes below this one have it now, and the MiB that they share with nobody."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"count": 0, "mib": 0})
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            words = process.cmdline()  # empty where a process has just ended
            title = (words[0] if words else "ended").rpartition("/")[2].partition(".")[0]
            found[title]["count"] += 1
            found[title]["mib"] += process.memory_full_info().uss >> 20
    return dict(found)


def watched(trials: int) -> Watch:
    """Clocks in every part of this process."""
    import ray
    from ray import tune

    from letheon.journal import Journal
    from letheon.sweep import finish
    from letheon.sweep.mirror import Mirror
    from letheon.sweep.recording import Recorder
    from letheon.tune.scheduler import JournalScheduler
    from letheon.tune.searcher import JournalSearcher

    clocks = Clocks()
    watch = Watch(clocks, trials)
    append = Journal.append

    def counted(self: Journal, kind: str, **fields: object) -> Any:
        row = append(self, kind, **fields)
        watch.row(kind)
        return row

    Journal.append = counted  # type: ignore[method-assign]
    for name in ("append", "now"):
        clocks.around(Journal, name, "journal")
    for name in ("on_trial_add", "on_trial_result", "on_trial_complete", "on_trial_error", "choose_trial_to_run"):
        clocks.around(JournalScheduler, name, "scheduler")
    for name in ("suggest", "on_trial_complete"):
        clocks.around(JournalSearcher, name, "searcher")
    for name in ("sync_new", "sync_all"):
        clocks.around(Mirror, name, "tracking")
    clocks.around(Recorder, "_round", "recorder")
    clocks.around(tune.Tuner, "fit", "tune")
    clocks.around(ray, "wait", "waiting")
    clocks.around(finish, "_pictures", "pictures")
    return watch


def measure(trials: int, searcher: str, root: Path) -> dict[str, Any]:
    """One sweep in this process."""
    from rich.console import Console

    from letheon.monitor.progress import progress
    from letheon.spec.load import load_spec
    from letheon.sweep.run import run_sweep
    from letheon.sweep.sweep import Sweep

    spec = load_spec("npo_synthetic", [*OVERRIDES, f"budget.trials={trials}", f"searcher.name={searcher}"])
    watch = watched(trials)
    started = time.perf_counter()
    with progress(Console(file=io.StringIO()), Sweep(spec, "scale", root).folder, spec) as (show, say):
        outcome = run_sweep(spec, root, "scale", show=show, say=say)
    finished = time.perf_counter()
    folder, mean = outcome.folder, watch.costs(0, -1)
    for name in BESIDE:
        cpu, wall = (1000 * seconds / trials for seconds in watch.clocks.spent[name])
        mean[name] = {"cpu": round(cpu, 2), "wall": round(wall, 2)}
    return {
        "trials": trials,
        "seconds": round(finished - started, 1),
        "seconds_a_trial": round((watch.marks[-1]["wall"] - watch.marks[0]["wall"]) / (trials - 1), 4),
        "mean": mean,
        "early": watch.costs(0, 1),
        "late": watch.costs(-2, -1),
        "ending_seconds": round(finished - watch.marks[-1]["wall"], 1),
        "pictures_seconds": round(watch.clocks.spent["pictures"][1], 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "journal_bytes_a_trial": (folder / "journal.jsonl").stat().st_size // trials,
        "mlflow_bytes_a_trial": (root / "mlflow.db").stat().st_size // trials,
        "processes": watch.processes,
        "tune_files_a_trial": round(sum(1 for _ in (folder / "tune").rglob("*")) / trials, 1),
    }


def in_a_process(trials: int, searcher: str) -> dict[str, Any]:
    """The figures of a sweep whose process is its own."""
    with tempfile.TemporaryDirectory(prefix="scale-") as root:
        command = [sys.executable, __file__, "--measure", root, "--trials", str(trials), "--searcher", searcher]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def table(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines for people."""
    yield f"{'driver, ms per trial (cpu / wall)':34}" + "".join(f"{one['trials']:>12} trials" for one in results)
    for name in (*PARTS, "whole"):
        for which in ("mean", "early", "late") if name not in BESIDE else ("mean",):
            cells = [one[which][name] for one in results]
            yield f"{name:>14} {which:19}" + "".join(f"{cell['cpu']:>9.2f} /{cell['wall']:>8.2f}" for cell in cells)
    others = [key for key, value in results[0].items() if isinstance(value, int | float) and key != "trials"]
    for key in others:
        yield f"{key:34}" + "".join(f"{one[key]:>19}" for one in results)


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--searcher", default="random", help="searcher.name in the sweep file")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.trials[0], options.searcher, options.measure)))
        return
    results = [in_a_process(trials, options.searcher) for trials in options.trials]
    for line in table(results):
        print(line)
    print(json.dumps({"benchmark": "scale", "searcher": options.searcher, "sweeps": results}))


if __name__ == "__main__":
    main()
