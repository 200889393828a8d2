"""Deletes weights that no front needs. A dominated checkpoint stays dominated, so its weights can go at once."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from letheon.common.paths import model_folder
from letheon.journal import Row

Point = tuple[str, int]  # trial, epoch


class Retention:
    """Follows the journal row by row; the cost of `clean` does not grow with the number of rows before it.

    `trials`: the folder with `<trial>/epoch-003/{model/,state/}`.
    """

    def __init__(self, trials: Path) -> None:
        self._trials = trials
        self._strata: dict[str, str] = {}
        self._saved: defaultdict[str, set[Point]] = defaultdict(set)
        self._ended: set[str] = set()

    def take(self, row: Row) -> None:
        """Add the next journal row."""
        if row["kind"] == "trial":
            self._strata[row["trial"]] = row["stratum"]
        elif row["kind"] == "report" and row["epoch"] >= 1:
            self._saved[self._strata[row["trial"]]].add((row["trial"], row["epoch"]))
        elif row["kind"] == "end":
            self._ended.add(row["trial"])

    def unneeded(self, front: Mapping[str, Any]) -> set[Point]:
        """Saved checkpoints that are not on their stratum's front. A stratum with an empty front keeps all of its."""
        found: set[Point] = set()
        for stratum, content in front["strata"].items():
            if content["points"]:
                kept = {(point["trial"], point["epoch"]) for point in content["points"]}
                found |= self._saved.get(stratum, set()) - kept
        return found

    def clean(self, front: Mapping[str, Any]) -> None:
        """Delete the weights of unneeded checkpoints, and the optimizer states and partial folders of ended trials."""
        for trial, epoch in self.unneeded(front):
            shutil.rmtree(model_folder(self._trials, trial, epoch), ignore_errors=True)
            self._saved[self._strata[trial]].discard((trial, epoch))
        for trial in self._ended:
            for pattern in ("epoch-*/state", ".epoch-*.partial"):
                for folder in (self._trials / trial).glob(pattern):
                    shutil.rmtree(folder, ignore_errors=True)

        self._ended.clear()
