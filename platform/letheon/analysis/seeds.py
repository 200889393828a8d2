"""Several seeds per configuration: mean, spread and bootstrap interval of every metric, and the front of means. Pure.

A mean counts only if every seed of the configuration has reported the epoch: without those that were stopped early it
would be too good.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from letheon.common.numbers import is_number
from letheon.journal.journal import Row, jsonable, stratum_of
from letheon.pareto.front import front_of, with_audits
from letheon.pareto.objectives import Goals

CONFIDENCE = 0.95
EXACT = 5  # up to this many seeds all resamples are counted; above, RESAMPLES are drawn
RESAMPLES = 10_000


@dataclass(frozen=True)
class Spread:
    """One metric over `seeds` seeds: mean, sample standard deviation (0 for one), bootstrap interval of the mean."""

    mean: float
    std: float
    low: float
    high: float
    seeds: int


def spread(values: Sequence[float]) -> Spread:
    """Percentile bootstrap of the mean; all NaN if any value is not finite, since a destroyed model has no mean.

    Up to EXACT values the interval is over all resamples, else over RESAMPLES that are the same on every machine.
    Raises ValueError for no values.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        raise ValueError("values []: a mean needs at least one; leave the metric out")
    if not np.isfinite(array).all():
        return Spread(math.nan, math.nan, math.nan, math.nan, len(array))
    std = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(array[_resamples(len(array))].mean(axis=1), [tail, 1 - tail])
    mean = float(array.mean())
    # Rounding may put the mean of equal numbers outside of its own interval.
    return Spread(mean, std, min(float(low), mean), max(float(high), mean), len(array))


@lru_cache(maxsize=8)
def _resamples(count: int) -> npt.NDArray[np.int64]:
    """(resamples, count) indices."""
    if count <= EXACT:
        return np.array(list(product(range(count), repeat=count)), dtype=np.int64)
    bits = np.random.PCG64(0).random_raw(RESAMPLES * count).astype(np.float64)
    return (bits / 2.0**64 * count).astype(np.int64).clip(0, count - 1).reshape(RESAMPLES, count)


@dataclass(frozen=True)
class Group:
    """Trials that differ only by their seed, ordered by name."""

    stratum: str
    config: Mapping[str, Any]
    trials: tuple[str, ...]


def groups(rows: Sequence[Row]) -> list[Group]:
    """Every configuration of the sweep with its trials so far, ordered by the first trial."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == "trial":
            config = {name: value for name, value in row["config"].items() if name != "seed"}
            found.setdefault(json.dumps(config, sort_keys=True), []).append(row)
    made = []
    for key, members in found.items():
        names = tuple(sorted(row["trial"] for row in members))
        made.append(Group(members[0]["stratum"], json.loads(key), names))
    return sorted(made, key=lambda group: group.trials)


@dataclass(frozen=True)
class SeedEpoch:
    """An epoch of a configuration that every seed has reported. `values`: metric -> one value per trial."""

    group: Group
    epoch: int
    values: Mapping[str, tuple[float, ...]]

    @property
    def means(self) -> dict[str, float]:
        return {name: _mean(values) for name, values in self.values.items()}

    @property
    def spreads(self) -> dict[str, Spread]:
        return {name: spread(values) for name, values in self.values.items()}

    def to_json(self) -> dict[str, Any]:
        """`trials`, `epoch`, `config`, `seeds`, and per metric `metrics` (means), `std` and `interval`."""
        found = self.spreads
        return jsonable(
            {
                "trials": self.group.trials,
                "epoch": self.epoch,
                "config": self.group.config,
                "metrics": {name: value.mean for name, value in found.items()},
                "std": {name: value.std for name, value in found.items()},
                "interval": {name: [value.low, value.high] for name, value in found.items()},
                "seeds": len(self.group.trials),
            }
        )


def seed_epochs(rows: Sequence[Row], seeds: int) -> list[SeedEpoch]:
    """Every epoch >= 1 that all `seeds` trials of a configuration reported, with the metrics that all of them have."""
    reports: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in with_audits(rows):
        if row["kind"] == "report" and row["epoch"] >= 1:
            reports.setdefault(row["trial"], {})[row["epoch"]] = row["metrics"]
    made = []
    for group in groups(rows):
        found = [reports.get(trial, {}) for trial in group.trials]
        if len(found) == seeds:
            for epoch in sorted(set.intersection(*(set(each) for each in found))):
                made.append(SeedEpoch(group, epoch, _values([each[epoch] for each in found])))
    return made


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def _values(found: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, ...]]:
    common = [name for name in found[0] if all(is_number(metrics.get(name)) for metrics in found)]
    return {name: tuple(float(metrics[name]) for metrics in found) for name in common}


def front_of_means(rows: Sequence[Row], seeds: int, sweep: str = "", goals: Goals | None = None) -> dict[str, Any]:
    """The fronts of the means, in the shape of `front --json`, with points from `SeedEpoch.to_json` and a first trial.

    A mean has no checkpoint, and audit metrics only if all of its checkpoints were audited.
    """
    trials = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    found = {(one.group.trials[0], one.epoch): one for one in seed_epochs(rows, seeds)}
    made = [{**trials[group.trials[0]], "config": dict(group.config)} for group in groups(rows)]
    for (trial, epoch), one in found.items():
        made.append({"kind": "report", "trial": trial, "epoch": epoch, "metrics": one.means})
    front = front_of(made, sweep, (goals or Goals()).search_goals)
    return {**front, "strata": {key: _described(stratum, found) for key, stratum in front["strata"].items()}}


def front_with_means(rows: Sequence[Row], seeds: int, sweep: str = "", goals: Goals | None = None) -> dict[str, Any]:
    """`front_of`, and under `means` the front of means, null for a single seed."""
    means = front_of_means(rows, seeds, sweep, goals) if seeds > 1 else None
    return {**front_of(rows, sweep, goals), "means": means}


def configurations(rows: Sequence[Row], fraction: float | None = None) -> list[dict[str, Any]]:
    """Every configuration and epoch that all of several seeds reported; only one forget fraction if given."""
    counts = {len(group.trials) for group in groups(rows)}
    seeds = max(counts, default=0)
    wanted = None if fraction is None else stratum_of(fraction)
    found = seed_epochs(rows, seeds) if seeds > 1 else []
    return [one.to_json() for one in found if wanted in (None, one.group.stratum)]


def _described(stratum: Mapping[str, Any], found: Mapping[tuple[str, int], SeedEpoch]) -> dict[str, Any]:
    def described(point: Mapping[str, Any]) -> dict[str, Any]:
        return {"trial": point["trial"], **found[point["trial"], point["epoch"]].to_json()}

    knee = stratum["knee"]
    return {
        **stratum,
        "points": [described(point) for point in stratum["points"]],
        "least_violating": [described(point) for point in stratum["least_violating"]],
        "knee": None if knee is None else described(knee),
    }
