"""Which checkpoints a sweep keeps: those on a front. What is dominated once stays so, and its weights can go."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from letheon.common.paths import model_folder
from letheon.journal import Row

Point = tuple[str, int]


class Retention:
    """Folds the journal's rows; what cleaning costs does not depend on how many came before.

    `trials`: the folder with `<trial>/epoch-003/{model/,state/}`.
    """

    def __init__(self, trials: Path) -> None:
        self._trials = trials
        self._strata: dict[str, str] = {}
        self._there: defaultdict[str, set[Point]] = defaultdict(set)
        self._ended: set[str] = set()

    def take(self, row: Row) -> None:
        """One more row, in order."""
        if row["kind"] == "trial":
            self._strata[row["trial"]] = row["stratum"]
        elif row["kind"] == "report" and row["epoch"] >= 1:
            self._there[self._strata[row["trial"]]].add((row["trial"], row["epoch"]))
        elif row["kind"] == "end":
            self._ended.add(row["trial"])

    def superfluous(self, front: Mapping[str, Any]) -> set[Point]:
        """(trial, epoch) whose weights are there and nobody can ask for. A stratum whose front is empty keeps all."""
        found: set[Point] = set()
        for stratum, content in front["strata"].items():
            if content["points"]:
                kept = {(point["trial"], point["epoch"]) for point in content["points"]}
                found |= self._there.get(stratum, set()) - kept
        return found

    def clean(self, front: Mapping[str, Any]) -> None:
        """Delete weights of dominated points, and of ended trials optimizer states and what was half written."""
        for trial, epoch in self.superfluous(front):
            shutil.rmtree(model_folder(self._trials, trial, epoch), ignore_errors=True)
            self._there[self._strata[trial]].discard((trial, epoch))
        for trial in self._ended:
            for pattern in ("epoch-*/state", ".epoch-*.partial"):
                for useless in (self._trials / trial).glob(pattern):
                    shutil.rmtree(useless, ignore_errors=True)
        self._ended.clear()
