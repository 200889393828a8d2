"""How long a driver takes to stop: after Ctrl-C and after SIGTERM, in every part of a sweep. One JSON line last.

    python benchmarks/stopping.py [--parts preparation search epoch audit] [--base tiny]

`seconds`: from the signal until the command has ended; `noticed`: until the journal says that it was asked to; `gone`:
until no process is left that it had started. The part `epoch` is the middle of an epoch of some 400 optimizer steps;
with another `--base` (a folder, a model of the hub, `smollm2`) each of them is a longer one. Ctrl-C goes to the whole
process group, as from a terminal, SIGTERM to the driver alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starting.trials import letheon  # type: ignore[import-not-found]  # next to this script

from letheon.journal import Journal

SPACE = """\
name: {name}
benchmark: {{name: fictional, people: {people}, evaluation_rows: 4}}
model: {{base: {base}, recipe: {{epochs: {recipe}}}}}
evaluation: {{max_new_tokens: 8}}
search: {{method: npo_rt, forget_fraction: 0.5, learning_rate: 4.0e-4, beta: 0.1}}
scheduler: {{name: none, max_epochs: {epochs}, collapse: null}}
budget: {{trials: 2}}
trial: {{batch_size: {batch}}}
"""
AUDIT = "audit: {attacks: [relearn], rows: 4, relearn_steps: 100000, relearn_checks: 1}\n"
SETTLE_SECONDS = 1.0
LONGEST_SECONDS = 900.0


@dataclass(frozen=True)
class Part:
    """Where a driver is stopped: a sweep file, and how often a text must be in the workers' logs."""

    recipe: int = 1
    epochs: int = 400
    people: int = 4
    batch: int = 8
    more: str = ""
    awaited: str = "trial taken"


PARTS = {
    "preparation": Part(recipe=1_000_000, awaited="finetune taken"),
    "search": Part(recipe=12, awaited="reports epoch"),
    "epoch": Part(recipe=4, people=40, batch=1, awaited="first step of epoch 1"),
    "audit": Part(recipe=12, epochs=1, more=AUDIT, awaited="audit taken"),
}


@dataclass(frozen=True)
class Stop:
    """One driver that was stopped. Seconds since the signal."""

    part: str
    signal: str
    noticed: float
    seconds: float
    gone: float
    exit: int
    state: str
    load: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    options.add_argument("--base", default="tiny", help="model.base of the part `epoch`")
    asked = options.parse_args()
    stops: list[Stop] = []
    print(f"{'part':12} {'signal':8} {'noticed':>8} {'seconds':>8} {'gone':>8} {'exit':>5}  {'state':12} {'load':>5}")
    with tempfile.TemporaryDirectory(prefix="stopping-") as folder:
        for part in asked.parts:
            for stop in stops_of(part, asked.base if part == "epoch" else "tiny", Path(folder)):
                stops.append(stop)
                times = f"{stop.noticed:8.2f} {stop.seconds:8.2f} {stop.gone:8.2f}"
                end = f"{stop.exit:5}  {stop.state:12} {stop.load:5.1f}"
                print(f"{stop.part:12} {stop.signal:8} {times} {end}", flush=True)
    most = max(stop.seconds for stop in stops)
    print(json.dumps({"cpus": len(os.sched_getaffinity(0)), "most": most, "stops": [asdict(stop) for stop in stops]}))


def stops_of(name: str, base: str, folder: Path) -> Iterator[Stop]:
    """A sweep that is stopped, resumed, and stopped again in the same part."""
    part, root, file = PARTS[name], folder / "root", folder / f"{name}.yaml"
    fields = {"recipe": part.recipe, "epochs": part.epochs, "people": part.people, "batch": part.batch}
    file.write_text(SPACE.format(name=name, base=base, **fields) + part.more)
    yield stopped(name, signal.SIGINT, ["sweep", str(file)], root)
    yield stopped(name, signal.SIGTERM, ["resume", name], root)


def stopped(name: str, number: signal.Signals, verb: list[str], root: Path) -> Stop:
    """Start the command, wait for its part, and send the signal."""
    place, awaited = root / "sweeps" / name, PARTS[name].awaited
    before = seen(place, awaited)
    with (root.parent / f"{name}-{number.name}.log").open("wb") as log:
        driver = subprocess.Popen(
            [letheon(), *verb, "--root", str(root)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        until(lambda: seen(place, awaited) > before, driver)
        time.sleep(SETTLE_SECONDS)
        load, began = os.getloadavg()[0], time.time()
        if number == signal.SIGINT:
            os.killpg(driver.pid, number)
        else:
            os.kill(driver.pid, number)
        code = driver.wait(LONGEST_SECONDS)
    seconds = time.time() - began
    while processes(root):
        time.sleep(0.02)
    gone, last = time.time() - began, Journal.read(place / "journal.jsonl")[-1]
    noticed = float(last["time"]) - began
    return Stop(
        name,
        number.name,
        round(noticed, 2),
        round(seconds, 2),
        round(gone, 2),
        code,
        str(last["state"]),
        round(load, 1),
    )


def seen(place: Path, text: str) -> int:
    """How often workers have written it."""
    return sum(log.read_text(errors="replace").count(text) for log in place.glob("logs/*rank0.log"))


def until(holds: Callable[[], bool], driver: subprocess.Popen[Any]) -> None:
    """Raises RuntimeError if the driver ends first, TimeoutError if it takes too long."""
    end = time.monotonic() + LONGEST_SECONDS
    while not holds():
        if driver.poll() is not None:
            raise RuntimeError(f"the driver ended with exit code {driver.returncode} before it was stopped")
        if time.monotonic() > end:
            raise TimeoutError(f"the driver has not come as far in {LONGEST_SECONDS:.0f} s")
        time.sleep(0.05)


def processes(root: Path) -> list[int]:
    """Ids of all that runs for a sweep below the root."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # it ended meanwhile, or is not ours to look at
            continue
        if str(root).encode() in known:
            found.append(int(process.name))
    return found


if __name__ == "__main__":
    main()
