"""Recorded trajectories, one per configuration and seed, as a table that can be searched in virtual time.

A table is a Parquet file with one row per (configuration, seed, epoch) and these columns:

    forget_fraction   float    the stratum
    epoch             int      1, 2, …, and 0 for the untouched target model of a fraction
    method, …, seed   hyper-parameters by their names in a sweep file; null if a method lacks one (or has its default),
                      and at epoch 0; seed is 0 if there is no such column
    seconds           float    duration of the epoch, training and evaluation; optional (1 if absent)
    utility_ratio, …  float    every other column: metrics of that epoch; null if it was not measured (`probe_…`: where
                      the probe did not run)

Every configuration must have the same epochs, because a simulated trial may run to the last one. The configurations
need not be all combinations of their values: a searcher is offered those that were recorded and no others.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from letheon.common.errors import LetheonError, did_you_mean
from letheon.journal import Row, stratum_of
from letheon.pareto.objectives import is_probe
from letheon.spec.model import SweepSpec, values_of
from letheon.spec.search_space import SearchSpace, Values
from trainables.config import Hyperparameters
from trainables.data.objectives import default_objectives
from trainables.methods import METHODS

Metrics = dict[str, float]
Config = Mapping[str, Any]

_OWN = sorted({name for method in METHODS.values() for name in method.hyperparameters})
_FIRST = ("method", "forget_fraction", "learning_rate")
HYPERPARAMETERS = tuple(dict.fromkeys((*_FIRST, *_OWN, *Hyperparameters.model_fields)))
"""Columns that are hyper-parameters, not metrics: those of the built-in methods. A file names further ones itself."""
NAMES = b"letheon.hyperparameters"
DEFAULT_SECONDS = 1.0
PROBE_SECONDS = "probe_seconds"
_SECONDS = ("train_seconds", "eval_seconds", PROBE_SECONDS)


class TableError(LetheonError):
    """The file is not a table of trajectories, or a configuration is not in the table."""


@dataclass(frozen=True)
class Trajectory:
    """The metrics and `seconds` of all epochs of one configuration and seed."""

    config: Config
    epochs: tuple[Metrics, ...]
    seconds: tuple[float, ...]

    def probed_at(self, epochs: Container[int]) -> Trajectory:
        """The same trial in a sweep that probes only after these epochs."""
        metrics: list[Metrics] = []
        seconds: list[float] = []
        for epoch, (found, took) in enumerate(zip(self.epochs, self.seconds, strict=True), start=1):
            kept = epoch in epochs
            metrics.append(found if kept else {name: value for name, value in found.items() if not is_probe(name)})
            seconds.append(took if kept else max(0.0, took - found.get(PROBE_SECONDS, 0.0)))
        return Trajectory(self.config, tuple(metrics), tuple(seconds))

    @property
    def stratum(self) -> str:
        return stratum_of(self.config["forget_fraction"])


class Table:
    """`baselines`: the untouched target model's metrics by stratum. A configuration that occurs again is left out.

    Raises TableError unless all have equal epochs, and for unknown methods.
    """

    def __init__(self, trajectories: Iterable[Trajectory], baselines: Mapping[str, Metrics]) -> None:
        whole = [replace(each, config=_with_defaults(each.config)) for each in trajectories]
        searched = {name for trajectory in whole for name in trajectory.config}
        self._varied = tuple(sorted(searched))
        self._index: dict[tuple[Any, ...], Trajectory] = {}
        for trajectory in whole:
            self._index.setdefault(self._key(trajectory.config), trajectory)
        self.trajectories = tuple(self._index.values())
        self._recorded: dict[str, tuple[Values, ...]] = {}
        self.baselines = {stratum: dict(metrics) for stratum, metrics in baselines.items()}
        if not self.trajectories:
            raise TableError("the table has no trajectories; record some first")
        lengths = sorted({len(trajectory.epochs) for trajectory in self.trajectories})
        if len(lengths) > 1:
            rule = "every configuration must have the same epochs"
            raise TableError(f"trajectories of {lengths} epochs: {rule}; cut the longer ones or leave out the shorter")
        self.max_epochs = lengths[0]
        self._names = tuple(dict.fromkeys((*HYPERPARAMETERS, *self._varied)))

    def _key(self, config: Config) -> tuple[Any, ...]:
        return tuple(config.get(name) for name in self._varied)

    def find(self, config: Config) -> Trajectory:
        """The trajectory of a trial's configuration. Raises TableError if none was recorded."""
        try:
            return self._index[self._key(config)]
        except KeyError:
            own = {name: config[name] for name in self._varied if config.get(name) is not None}
            raise TableError(f"{own}: not in the table; search the recorded values only (`domains`)") from None

    def domains(self, seeds: Sequence[int] = ()) -> dict[str, Any]:
        """The `search` section of a sweep file with exactly the values recorded with these seeds, or the first one."""
        seeds = seeds or self.seeds[:1]
        configs = [trajectory.config for trajectory in self.trajectories if trajectory.config.get("seed", 0) in seeds]
        found: dict[str, Any] = {}
        for name in self._names:
            values = {config[name] for config in configs if config.get(name) is not None}
            if name != "seed" and values:
                found[name] = {"choice": sorted(values)}
        return found

    @property
    def seeds(self) -> tuple[int, ...]:
        """All recorded seeds, ascending."""
        return tuple(sorted({trajectory.config.get("seed", 0) for trajectory in self.trajectories}))

    @property
    def objectives(self) -> dict[str, str]:
        """The objectives of a sweep file: those for data with wrong answers if there is a forget quality."""
        with_wrong_answers = all("log10_forget_quality" in metrics for metrics in self.baselines.values())
        return dict(default_objectives("fictional" if with_wrong_answers else "qa"))

    def space(self, spec: SweepSpec) -> SearchSpace:
        """The part of the sweep's search space that was recorded with all of its seeds. Raises TableError if none."""
        key = spec.model_dump_json(include={"search", "seeds", "trial"})
        if key not in self._recorded:
            self._recorded[key] = self._recorded_in(spec)
        return SearchSpace(spec, self._recorded[key])

    def _recorded_in(self, spec: SweepSpec) -> tuple[Values, ...]:
        everything, found = SearchSpace(spec), dict[tuple[Any, ...], Values]()
        for trajectory in self.trajectories:
            values = {name: trajectory.config[name] for name in spec.search if name in trajectory.config}
            if all(value in values_of(spec.search[name]) for name, value in values.items()):
                trials = [everything.hyperparameters(values, seed).model_dump() for seed in spec.seeds]
                if all(self._key(trial) in self._index for trial in trials):
                    found[everything.identity(values)] = values
        if not found:
            rule = f"none lies in this search space and is recorded with seeds {list(spec.seeds)}"
            fix = f"search the table's `domains` with some of its seeds {list(self.seeds)}"
            raise TableError(f"{len(self.trajectories)} trajectories: {rule}; {fix}")
        return tuple(found.values())

    # -- reading and writing

    @staticmethod
    def from_journals(journals: Iterable[Sequence[Row]], leave_out: Sequence[str] = ()) -> Table:
        """The completed trials of sweeps, given as their journals' rows.

        `leave_out`: metrics that are meaningless outside the machine on which they were measured.
        """
        trajectories: list[Trajectory] = []
        baselines: dict[str, Metrics] = {}
        for rows in journals:
            trials = {row["trial"]: row for row in rows if row["kind"] == "trial"}
            done = {row["trial"] for row in rows if row["kind"] == "end" and row["outcome"] == "completed"}
            for name in sorted(done):
                epochs = [row["metrics"] for row in rows if row["kind"] == "report" and row["trial"] == name]
                seconds = tuple(sum(each.get(name, 0) for name in _SECONDS) for each in epochs)
                trajectories.append(
                    Trajectory(trials[name]["config"], tuple(_metrics(each, leave_out) for each in epochs), seconds)
                )
                baselines.setdefault(trials[name]["stratum"], dict(trials[name]["baseline"]))
        return Table(trajectories, baselines)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Table:
        """Read a Parquet file. Raises TableError if it is not a table as described above."""
        from pyarrow import parquet

        try:
            table = parquet.read_table(path)
            rows, names = table.to_pylist(), json.loads((table.schema.metadata or {}).get(NAMES, b"[]"))
        except (OSError, ValueError) as error:
            raise TableError(f"{path}: is not a Parquet file ({error}); see letheon.search.trajectories") from error
        missing = [name for name in ("forget_fraction", "epoch", "method") if rows and name not in rows[0]]
        if missing or not rows:
            rule = f"has no {', '.join(missing) or 'rows'}"
            raise TableError(f"{path}: {rule}; see letheon.search.trajectories for columns")
        return _table(rows, tuple(dict.fromkeys((*HYPERPARAMETERS, *names))))

    def write(self, path: str | os.PathLike[str], about: Mapping[str, str] | None = None) -> None:
        """Write a Parquet file, with `about` in its metadata (under `letheon`)."""
        import pyarrow
        from pyarrow import parquet

        rows = [
            {"forget_fraction": float(stratum), "epoch": 0, **metrics} for stratum, metrics in self.baselines.items()
        ]
        for trajectory in self.trajectories:
            for i, (metrics, seconds) in enumerate(zip(trajectory.epochs, trajectory.seconds, strict=True), start=1):
                rows.append({**trajectory.config, "epoch": i, **metrics, "seconds": seconds})
        names = list(dict.fromkeys(name for row in (rows[-1], *rows) for name in row))
        table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
        table = table.replace_schema_metadata(
            {"letheon": json.dumps(dict(about or {})), NAMES: json.dumps(self._names)}
        )
        partial = Path(f"{path}.partial")
        parquet.write_table(table, partial, compression="zstd", compression_level=19)
        os.replace(partial, path)


def _with_defaults(config: Config) -> Config:
    """The configuration with the method's defaults, as a trial of a sweep has it. Raises TableError.

    A method of a plug-in has hyper-parameters that no built-in method has; its trials have no defaults left out.
    """
    method = str(config["method"])
    if method not in METHODS and not set(config) - set(HYPERPARAMETERS):
        raise TableError(f"method {method}: is unknown; {did_you_mean(method, METHODS)}, or leave out its rows")
    declared = METHODS[method].hyperparameters if method in METHODS else {}
    own = {name: each.default for name, each in declared.items()}
    return {**own, **{name: value for name, value in config.items() if value is not None}}


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    baselines: dict[str, Metrics] = {}
    epochs: dict[str, dict[int, Mapping[str, Any]]] = {}
    configs: dict[str, Config] = {}
    for row in rows:
        if row["epoch"] == 0:
            baselines[stratum_of(row["forget_fraction"])] = _metrics(_measured(row), names)
            continue
        config = {name: row[name] for name in names if row.get(name) is not None}
        key = json.dumps(config, sort_keys=True)
        configs[key] = config
        epochs.setdefault(key, {})[row["epoch"]] = row
    trajectories = []
    for key, found in epochs.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            raise TableError(f"{configs[key]}: has epochs {sorted(found)}; they must be 1, 2, … without a gap")
        ordered = [found[epoch] for epoch in sorted(found)]
        seconds = tuple(float(row.get("seconds") or DEFAULT_SECONDS) for row in ordered)
        metrics = tuple(_metrics(_measured(row), names) for row in ordered)
        trajectories.append(Trajectory(configs[key], metrics, seconds))
    return Table(trajectories, baselines)


def _measured(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row without nulls, which in a table stand for no measurement (in a journal: for NaN)."""
    return {name: value for name, value in row.items() if value is not None}


def _metrics(row: Mapping[str, Any], leave_out: Sequence[str] = ()) -> Metrics:
    left_out = {*leave_out, *HYPERPARAMETERS, "epoch", "step", "seconds", "train_seconds", "eval_seconds"}
    return {
        name: math.nan if value is None else float(value)
        for name, value in row.items()
        if name not in left_out and (isinstance(value, int | float) or (value is None and not is_probe(name)))
    }
