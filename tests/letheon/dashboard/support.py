"""Sweeps on disk in any state, for the tests of the dashboard."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.dashboard.snapshot import SweepSnapshot
from letheon.journal import encode_rows
from letheon.spec.load import dump_spec, load_spec
from letheon.spec.model import SweepSpec
from tests.letheon.tracking.tracking_support import Story, metrics

Rows = list[dict[str, Any]]

SPEC_CHANGES = ("budget.trials=4", "search.forget_fraction={choice: [0.05, 0.1]}")


def small_spec(*changes: str) -> SweepSpec:
    return load_spec("quickstart", [*SPEC_CHANGES, *changes])


def record(rows: Sequence[Mapping[str, Any]], state: str = "finished", **more: Any) -> SweepSnapshot:
    facts: dict[str, Any] = {"key": "sweep", "name": "sweep", "place": "here", "spec": small_spec(), **more}
    return SweepSnapshot(rows=[dict(row) for row in rows], state=state, **facts)


def write_sweep(root: Path, name: str, rows: Iterable[Mapping[str, Any]], *changes: str) -> Path:
    """A sweep's folder as a driver leaves it. Returns the folder."""
    folder = root / "sweeps" / name
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(dump_spec(small_spec(*changes)))
    (folder / "journal.jsonl").write_bytes(encode_rows([dict(row) for row in rows]))
    return folder


def add_rows(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to the journal, as the driver does."""
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(encode_rows([dict(row) for row in rows]))


def _started(*reports: tuple[float, float]) -> Rows:
    """One trial, and its reports (log10 of the forget quality, utility)."""
    tale = Story()
    tale.add("sweep", state="preparing")
    tale.add("sweep", state="running", info={"slots": 1})
    tale.trial("t000", "0.05", "ga")
    for epoch, report in enumerate(reports, start=1):
        tale.report("t000", epoch, *report)
    return tale.rows


LITTLE: dict[str, Rows] = {
    "nothing": [],
    "preparing": _started()[:1],
    "no report": _started(),
    "one point": _started((0.0, 0.6)),
    "not finite": _started((math.nan, 0.5), (-3.0, math.inf)),
    "infeasible": _started((-20.0, 0.0)),
}
"""Sweeps with little to show."""


class LongStory(Story):
    """A sweep of many trials from a fixed seed."""

    def __init__(self, trials: int, epochs: int = 10) -> None:
        super().__init__()
        draw = random.Random(1)
        self.add("sweep", state="preparing")
        self.add("sweep", state="running", info={"slots": 2, "retain": {"0.1": {"model_utility": 0.61}}})
        for number in range(trials):
            self.one(draw, f"t{number:03d}", epochs)
        self.add("sweep", state="finished", detail="budget.trials: all are used")

    def one(self, draw: random.Random, name: str, epochs: int) -> None:
        method = draw.choice(["npo_rt", "ga_rt", "npo", "ga"])
        config = {"method": method, "learning_rate": 10 ** draw.uniform(-5, -3), "forget_fraction": 0.1}
        if method.startswith("npo"):
            config["beta"] = 10 ** draw.uniform(-2, 0)
        stratum = draw.choice(["0.05", "0.1"])
        config["forget_fraction"] = float(stratum)
        self.add("trial", trial=name, stratum=stratum, config=config, baseline=metrics(-12.0, 0.6), origin="random")
        forgotten, kept, last = -12.0, 0.6, epochs if draw.random() < 0.5 else draw.choice([1, 3])
        for epoch in range(1, last + 1):
            forgotten = min(0.0, forgotten + draw.uniform(-0.3, 2.2))
            kept = max(0.05, kept - draw.uniform(-0.005, 0.03 if method.endswith("_rt") else 0.08))
            self.report(name, epoch, forgotten, kept, rung=epoch if epoch in (1, 3) else None)
        self.end(name, "completed" if last == epochs else draw.choice(["pruned", "collapsed"]), last)
