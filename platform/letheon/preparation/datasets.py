"""Digests and row counts of the forget, retain and holdout sets by forget fraction. Reads the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from letheon.journal import stratum_of
from letheon.preparation.artifacts import content_key

if TYPE_CHECKING:
    from letheon.preparation.artifacts import Prepared
    from letheon.spec.model import SweepSpec
    from trainables.data.benchmarks.registry import Row

Facts = dict[str, str | int]
DataSets = dict[str, dict[str, Facts]]
"""Stratum -> `forget`, `retain`, `holdout` -> {"digest": hex, "rows": count}; not all benchmarks have a `holdout`."""


def data_sets(spec: SweepSpec, prepared: Prepared) -> DataSets:
    """The data sets of every fraction. Synthetic inputs are drawn: they have a digest of the settings, but no rows."""
    from trainables.synthetic.name import SYNTHETIC

    if spec.benchmark.name != SYNTHETIC:
        return _hashed(spec)
    drawn = {fraction: content_key(prepared.data, fraction) for fraction in spec.fractions}
    return {
        stratum_of(fraction): {role: {"digest": key} for role in ("forget", "retain")}
        for fraction, key in drawn.items()
    }


def _hashed(spec: SweepSpec) -> DataSets:
    from trainables.data.benchmarks.registry import load_benchmark
    from trainables.data.splitting import digest_rows

    benchmark = load_benchmark(spec.benchmark)
    found: DataSets = {}
    for fraction in spec.fractions:
        split = benchmark.split(fraction)
        sets: Mapping[str, tuple[Row, ...]] = {"forget": split.forget, "retain": split.retain}
        if "holdout" in split.evaluation:
            sets = {**sets, "holdout": split.evaluation["holdout"].rows}
        found[stratum_of(fraction)] = {
            name: {"digest": digest_rows([rows]), "rows": len(rows)} for name, rows in sets.items()
        }
    return found
