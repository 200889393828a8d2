"""The quickstart, from an empty root to its report, against Ray's ordinary pattern. One JSON line last.

    python benchmarks/sweep.py [--plain 4]

`letheon sweep quickstart` prepares a base, a target and two retain models, evaluates them, and runs its sixteen trials.
The ordinary pattern, a Tune function that starts a Train run per trial, gets the same models and the first `--plain` of
the same trials, to their last epoch because it prunes nothing. Its seconds per trial times the number of trials
estimate what all of them would take.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from starting import processes  # type: ignore[import-not-found]  # next to this script
from starting.milestones import Story, spread  # type: ignore[import-not-found]
from starting.trials import configs_of, letheon  # type: ignore[import-not-found]

PLAIN = Path(__file__).parent / "starting" / "plain.py"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--plain", type=int, default=4, help="number of trials in Ray's ordinary pattern")
    asked = options.parse_args()
    figures: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="letheon-sweep-") as name:
        root = Path(name) / "root"
        ran = processes.run([letheon(), "sweep", "quickstart", "--root", str(root)])
        story = Story(root / "sweeps" / "quickstart")
        figures |= parts(ran, story)
        if asked.plain:
            figures |= plain(root, asked.plain, Path(name), figures)
    print(json.dumps(figures))


def parts(ran: Any, story: Any) -> dict[str, Any]:
    """Prints what the seconds of the sweep went into."""
    at = {event: when - ran.began for event, when in story.milestones().items()}
    cut = {
        "until the first worker is ready": at["worker is ready"],
        "preparing": at["search begins"] - at["worker is ready"],
        "searching": at["search is over"] - at["search begins"],
        "ending": ran.wall - at["search is over"],
    }
    for part, seconds in cut.items():
        print(f"{part:34} {seconds:6.1f} s")
    print(f"{'in all':34} {ran.wall:6.1f} s   {ran.cpu:.0f} CPU s, {ran.processes} processes")
    gaps = spread(story.gaps())
    print(f"between trials: median {gaps['median']:.2f} s, at most {gaps['most']:.2f} s")
    return {
        "seconds": round(ran.wall, 1),
        "cpu_seconds": round(ran.cpu, 1),
        "parts": {part: round(seconds, 1) for part, seconds in cut.items()},
        "trials": story.trials,
        "between_trials": {name: round(seconds, 3) for name, seconds in gaps.items()},
    }


def plain(root: Path, count: int, folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Ray's ordinary pattern, scaled to all trials of the sweep."""
    file = folder / "configs.json"
    file.write_text(json.dumps(configs_of(root, "quickstart", folder / "plain")[:count]))
    ran = processes.run([sys.executable, str(PLAIN), str(file)])
    each = json.loads(ran.output.strip().splitlines()[-1])["seconds"] / count
    whole = each * figures["trials"]
    print(f"Ray's ordinary pattern: {each:.1f} s per trial, {whole:.0f} s for {figures['trials']} ({count} were run);")
    print(f"the search above took {figures['parts']['searching']:.0f} s")
    return {"plain_seconds_per_trial": round(each, 2), "plain_seconds": round(whole, 1), "plain_trials": count}


if __name__ == "__main__":
    main()
