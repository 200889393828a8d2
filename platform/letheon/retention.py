"""Which checkpoints a sweep keeps: those on a front. What is dominated once stays so, and its weights can go."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.records import Row

Point = tuple[str, int]


def superfluous(rows: Sequence[Row], front: Mapping[str, Any]) -> set[Point]:
    """(trial, epoch) whose weights nobody can ask for. A stratum whose front is empty keeps everything."""
    settled = {
        stratum: {(point["trial"], point["epoch"]) for point in content["points"]}
        for stratum, content in front["strata"].items()
        if content["points"]
    }
    strata = {row["trial"]: row["stratum"] for row in rows if row["kind"] == "trial"}
    reported = {(row["trial"], row["epoch"]) for row in rows if row["kind"] == "report" and row["epoch"] >= 1}
    return {
        (trial, epoch)
        for trial, epoch in reported
        if strata[trial] in settled and (trial, epoch) not in settled[strata[trial]]
    }


def finished_trials(rows: Iterable[Row]) -> set[str]:
    return {row["trial"] for row in rows if row["kind"] == "end"}


def clean(trials: Path, rows: Sequence[Row], front: Mapping[str, Any], done: set[Point]) -> None:
    """Delete weights of dominated points, and of ended trials optimizer states and what was half written.

    `done` remembers what is gone.
    """
    for trial, epoch in superfluous(rows, front) - done:
        shutil.rmtree(trials / trial / f"epoch-{epoch:03d}" / "model", ignore_errors=True)
        done.add((trial, epoch))
    for trial in finished_trials(rows):
        if (trial, -1) not in done:
            for pattern in ("epoch-*/state", ".epoch-*.partial"):
                for useless in (trials / trial).glob(pattern):
                    shutil.rmtree(useless, ignore_errors=True)
            done.add((trial, -1))
