"""What starting costs: the command, a sweep until its first optimizer step, trial after trial. One JSON line last.

    python benchmarks/startup.py [--root ROOT] [--trials 4] [--plain 2]

Runs `letheon --help`, then the quickstart with everything prepared in its own root, and reads from the sweep's journal
and logs when each thing happened. `--root` names a prepared root, which is copied; without it one is prepared first
(two minutes). Then it runs the first trials of that sweep in Ray's ordinary pattern, a Tune function that starts a
Train run per trial. CPU seconds cover the whole process tree: compare these if others use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from starting import processes  # type: ignore[import-not-found]  # next to this script
from starting.milestones import Story, spread  # type: ignore[import-not-found]
from starting.trials import configs_of, letheon  # type: ignore[import-not-found]

HELPS = 5
PLAIN = Path(__file__).parent / "starting" / "plain.py"


def helps() -> dict[str, float]:
    """`letheon --help`: median wall and CPU seconds."""
    walls, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(HELPS):
        began = time.perf_counter()
        subprocess.run([letheon(), "--help"], check=True, capture_output=True)
        walls.append(time.perf_counter() - began)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": statistics.median(walls), "cpu_seconds": cpu / HELPS}


def prepared(given: Path | None, folder: Path) -> Path:
    """A root of its own with the quickstart's models, and no records."""
    root = folder / "root"
    if given is None:
        processes.run([letheon(), "prepare", "quickstart", "--root", str(root)])
    else:
        for part in ("models", "cache"):
            shutil.copytree(given / part, root / part)
    return root


def start(root: Path, trials: int) -> tuple[Any, Any]:
    """The sweep as a tree of processes, and its story."""
    ran = processes.run([letheon(), "sweep", "quickstart", "--root", str(root), "--set", f"budget.trials={trials}"])
    return ran, Story(root / "sweeps" / "quickstart")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--root", type=Path, help="a root with the quickstart prepared; it is copied")
    options.add_argument("--trials", type=int, default=4)
    options.add_argument("--plain", type=int, default=2, help="number of trials in Ray's ordinary pattern")
    asked = options.parse_args()
    figures: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0], "help": helps()}
    print(f"letheon --help: {figures['help']['seconds']:.2f} s, {figures['help']['cpu_seconds']:.2f} CPU s")
    with tempfile.TemporaryDirectory(prefix="letheon-startup-") as name:
        root = prepared(asked.root, Path(name))
        ran, story = start(root, asked.trials)
        figures |= sweep_figures(ran, story)
        if asked.plain:
            figures["plain"] = plain(root, asked.plain, Path(name))
    print(json.dumps(figures))


def sweep_figures(ran: Any, story: Any) -> dict[str, Any]:
    """Prints the table of milestones and what came between trials."""
    milestones = {event: when - ran.began for event, when in story.milestones().items()} | {"exit": ran.wall}
    print(f"\n{'letheon sweep, everything prepared':36} {'s':>6} {'CPU s':>6}")
    for event, seconds in milestones.items():
        print(f"{event:36} {seconds:6.1f} {ran.cpu_until(ran.began + seconds):6.1f}")
    gaps = spread(found) if (found := story.gaps()) else {}  # with few trials no worker runs a second one
    if gaps:
        between = f"median {gaps['median']:.2f} s, at most {gaps['most']:.2f} s"
        print(f"\nfrom a trial's end to the next one's first step: {between}")
    searched = milestones["search is over"] - milestones["search begins"]
    print(f"{story.trials} trials in {searched:.1f} s of search; {ran.processes} processes, {ran.cpu:.0f} CPU s in all")
    first = milestones["first optimizer step"]
    return {
        "milestones": {event: round(seconds, 2) for event, seconds in milestones.items()},
        "first_step_seconds": round(first, 2),
        "first_step_cpu_seconds": round(ran.cpu_until(ran.began + first), 1),
        "between_trials": {name: round(seconds, 3) for name, seconds in gaps.items()},
        "processes": ran.processes,
    }


def plain(root: Path, count: int, folder: Path) -> dict[str, float]:
    """Ray's ordinary pattern over the sweep's first trials."""
    file = folder / "configs.json"
    file.write_text(json.dumps(configs_of(root, "quickstart", folder / "plain")[:count]))
    ran = processes.run([sys.executable, str(PLAIN), str(file)])
    said = json.loads(ran.output.strip().splitlines()[-1])
    said |= {"seconds_per_trial": said["seconds"] / count, "cpu_seconds_per_trial": ran.cpu / count}
    print(
        f"\nRay's ordinary pattern: first report after {said['first_report']:.1f} s, "
        f"{said['seconds_per_trial']:.1f} s and {said['cpu_seconds_per_trial']:.1f} CPU s per trial ({count} trials)"
    )
    return {name: round(float(value), 2) for name, value in said.items()}


if __name__ == "__main__":
    main()
