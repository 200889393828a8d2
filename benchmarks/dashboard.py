"""How fast the dashboard shows sweeps of many trials, in a real Chromium (needs `chromedriver`).

    python benchmarks/dashboard.py [--trials N ...]

The rows come from simulated sweeps over the forgetting table: random search with `pareto_asha`. For each size, a new
`letheon dashboard` serves a window of 1,440 x 1,000 pixels:

* first: from opening the page to the frame with all pictures and the table, with nothing cached on the server
* importance: until the importance of hyper-parameters, which is requested afterwards, is shown as well
* again: as first, in a second window of the same server
* filter: from the click that hides a method to the next painted frame
* hover: the 95th percentile of the time between two frames while the pointer moves over the plane of checkpoints
* arrival: from a new row in the journal to the page that shows it

The last line is one JSON object; times are in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from letheon.journal import Row, encode_rows
from letheon.search.simulator import simulate
from letheon.search.trajectories import Table
from letheon.spec.load import dump_spec
from letheon.spec.model import SweepSpec

TABLE = Path(__file__).resolve().parent / "tables" / "fictional" / "table.parquet"
SLOTS = 8
PATIENCE = 120.0
POINTS = 60  # that the pointer visits
COLUMNS = ("first", "importance", "again", "filter", "hover", "arrival")

# Notes when the first frame was there that has every picture and the table, and when the importance had come as well.
WATCH = """
addEventListener("DOMContentLoaded", () => {
  const note = (name, done) => {
    const look = () => requestAnimationFrame(() => { if (done()) window[name] = performance.now(); else look(); });
    look();
  };
  const count = (selector) => document.querySelectorAll(selector).length;
  note("painted", () => count(".chart canvas") >= 5 && count("tr[data-trial]"));
  note("weighed", () => count(".bars .bar"));
});"""
FRAMES = """
window.frames_seen = [];
const note = (now) => { window.frames_seen.push(now); window.noting = requestAnimationFrame(note); };
requestAnimationFrame(note);"""


def rows_of(trials: int) -> tuple[SweepSpec, list[Row]]:
    """A finished sweep of this many trials, in virtual time."""
    table = Table.read(TABLE)
    data = {
        "name": "many",
        "search": table.domains(),
        "scheduler": {
            "name": "pareto_asha",
            "max_epochs": table.max_epochs,
            "grace_epochs": 5,
            "reduction_factor": 1.5,
        },
        "searcher": {"name": "random"},
        "budget": {"trials": trials},
    }
    spec = SweepSpec.model_validate(data)
    rows = list(simulate(spec, table, SLOTS).rows)
    state = {"kind": "sweep", "state": "running", "info": {"slots": SLOTS}, "time": 0.0}
    return spec, [{**row, "seq": seq} for seq, row in enumerate([state, *rows], start=1)]


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The command itself, as users start it."""
    command = [str(Path(sys.executable).parent / "letheon"), "dashboard", "--root", str(root), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http\S+", server.stdout.readline())
        assert found is not None, "letheon dashboard did not say where it is"
        yield found[0]
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def window() -> Iterator[Chrome]:
    options = Options()
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1440,1000",
    ):
        options.add_argument(flag)
    chrome = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    try:
        yield chrome
    finally:
        chrome.quit()


def wait(chrome: Chrome, script: str) -> Any:
    """The script's result, once it is not None."""
    end = time.monotonic() + PATIENCE
    while (found := chrome.execute_script(script)) is None:
        if time.monotonic() > end:
            raise TimeoutError(script)
        time.sleep(0.02)
    return found


def opening(chrome: Chrome, page: str) -> float:
    chrome.get(page)
    return float(wait(chrome, "return window.painted ?? null"))


def filtering(chrome: Chrome) -> float:
    """The median of hiding and showing each method."""
    script = """
        const chips = [...document.querySelectorAll("#chips button")], times = [];
        const chip = chips[arguments[0] % chips.length], start = performance.now();
        chip.click();
        requestAnimationFrame(() => setTimeout(() => { window.clicked = performance.now() - start; }));"""
    times = []
    for number in range(10):
        chrome.execute_script("window.clicked = null")
        chrome.execute_script(script, number // 2)
        times.append(float(wait(chrome, "return window.clicked")))
    return sorted(times)[len(times) // 2]


def hovering(chrome: Chrome) -> float:
    host = chrome.find_element(By.CSS_SELECTOR, ".chart.tall")
    width, height = host.size["width"], host.size["height"]
    chrome.execute_script(FRAMES)
    for number in range(POINTS):
        x, y = math.cos(number / 5) * width * 0.35, math.sin(number / 7) * height * 0.3
        ActionChains(chrome, duration=40).move_to_element_with_offset(host, int(x), int(y)).perform()
    script = "cancelAnimationFrame(window.noting); return window.frames_seen"
    times = chrome.execute_script(script)
    gaps = sorted(after - before for before, after in pairwise(times))
    return float(gaps[int(0.95 * len(gaps))])


def arriving(chrome: Chrome, journal: Path, rows: Sequence[Row]) -> float:
    """From a trial's start until the page shows a new number of trials."""
    known = chrome.find_element(By.CSS_SELECTOR, ".facts").text
    first = next(row for row in rows if row["kind"] == "trial")
    last = rows[-1]
    news = {**first, "seq": last["seq"] + 1, "time": last["time"] + 1.0, "trial": "newcomer"}
    started = time.monotonic()
    with journal.open("ab") as file:
        file.write(encode_rows([news]))
    told = f"return document.querySelector('.facts').innerText !== {json.dumps(known)} || null"
    wait(chrome, told)
    return (time.monotonic() - started) * 1000


def measure(trials: int) -> dict[str, float]:
    spec, rows = rows_of(trials)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "sweeps" / "many"
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text(dump_spec(spec))
        (folder / "journal.jsonl").write_bytes(encode_rows(rows))
        with served(Path(place)) as address:
            page = f"{address}#/sweeps/many"
            with window() as chrome:
                chrome.get(f"{address}static/style.css")  # the server is up
                first = opening(chrome, page)
                weighed = float(wait(chrome, "return window.weighed ?? null"))
            with window() as chrome:
                again = opening(chrome, page)
                found = {"first": first, "importance": weighed, "again": again, "filter": filtering(chrome)}
                found["hover"] = hovering(chrome)
                return {**found, "arrival": arriving(chrome, folder / "journal.jsonl", rows)}


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 4000])
    sizes: list[int] = parser.parse_args().trials
    if shutil.which("chromedriver") is None:
        sys.exit("chromedriver is not here (Debian: apt install chromium chromium-driver)")
    print(f"{'trials':>8}" + "".join(f"{name:>12}" for name in COLUMNS))
    result = {}
    for trials in sizes:
        found = measure(trials)
        result[str(trials)] = {name: round(found[name]) for name in COLUMNS}
        print(f"{trials:>8}" + "".join(f"{found[name]:>9.0f} ms" for name in COLUMNS), flush=True)
    print(json.dumps({"milliseconds": result}))


if __name__ == "__main__":
    main()
