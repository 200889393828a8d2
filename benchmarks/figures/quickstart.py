"""README's pictures and quoted results of the quickstart, all from one run: `make figures`.

    python -m benchmarks.figures.quickstart [--root .letheon]

Reads the sweep `quickstart` below the root. Draws its front and takes pictures of the dashboard's pages in Chromium,
into `docs/images`; writes `docs/images/quickstart.json`, which README's quotes and pictures must match
(`tests/test_readme.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from letheon.analysis.answer import answers
from letheon.analysis.samples import samples_of
from letheon.cli.options import find
from letheon.journal import Journal
from letheon.pareto.front import front_of, verdict_of
from tests.letheon.dashboard.chromium import Window, served, start

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
CHART, CHARTS = ".chart:has(canvas)", 3
PICTURES = ("quickstart.png", "dashboard.png", "trial.png")


def facts(folder_root: Path) -> dict[str, Any]:
    """What README reports of the run: a sentence per fraction, front points, and answers next to the retain model's."""
    sweep = find("quickstart", folder_root)
    rows = Journal.read(sweep.journal)
    front = front_of(rows, "quickstart", sweep.goals)
    hardest = max(front["strata"], key=float)
    knee = front["strata"][hardest]["knee"]
    points = {
        key: [f"{point['trial']}@{point['epoch']} {verdict_of(point)}" for point in stratum["points"]]
        for key, stratum in front["strata"].items()
    }
    said = samples_of(sweep.folder, rows, knee["trial"])
    before, after, retain = said["epochs"]["0"], said["epochs"][str(knee["epoch"])], said["retain"]
    samples = [
        dict(prompt=old["prompt"], target=old["generated"], checkpoint=new["generated"], retain=gold["generated"])
        for old, new, gold in zip(before, after, retain, strict=True)
        if old["set"] == "forget"
    ]
    return {"answers": answers(front), "points": points, "knee": f"{knee['trial']}@{knee['epoch']}", "samples": samples}


def take(folder_root: Path, trial: str) -> None:
    """Pictures of the sweep's page and of a trial's."""
    (IMAGES / "quickstart.png").write_bytes((find("quickstart", folder_root).folder / "front.png").read_bytes())
    chrome = start()
    try:
        window = Window(chrome)
        window.emulate()
        with served(folder_root) as address:
            window.open(f"{address}#/sweeps/quickstart")
            window.until_text("quickstart", "knee")
            window.until(lambda: len(window.all(CHART)) >= CHARTS, "charts")
            window.until_painted(len(window.all(CHART)))
            window.picture(IMAGES / "dashboard.png")
            window.open(f"{address}#/sweeps/quickstart/trials/{trial}")
            window.until_text(trial, "retain model")
            window.picture(IMAGES / "trial.png")
    finally:
        chrome.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(".letheon"))
    root = parser.parse_args().root
    found = facts(root)
    take(root, found["knee"].partition("@")[0])
    digests = {name: hashlib.sha256((IMAGES / name).read_bytes()).hexdigest() for name in PICTURES}
    text = json.dumps({**found, "pictures": digests}, indent=1, ensure_ascii=False)
    (IMAGES / "quickstart.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
