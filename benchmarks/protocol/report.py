"""Reports a comparison: three tables for each table of trajectories, and one JSON object. Reads results only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from benchmarks.policies.catalog import BASELINES, POLICIES, spec_for
from benchmarks.protocol.collapse import lost_to_collapse_rule
from benchmarks.protocol.progress import TRIALS
from benchmarks.protocol.rotation import WORKERS, Comparison, Source
from benchmarks.protocol.statistics import Estimate, worst_median
from benchmarks.protocol.sweeps import most_epochs, table_of, whole
from letheon.spec.rules_objectives import goals_of

WIDTH = 36


def lines(found: Comparison) -> Iterator[str]:
    """The whole report as text."""
    for source in found.sources:
        yield from _head(found, source)
        yield from _epochs(found, source)
        yield from _budgets(found, source)
        yield from _wall(found, source)


def _head(found: Comparison, source: Source) -> Iterator[str]:
    table = table_of(source.path)
    yield ""
    yield f"== {source.name}: {whole(table) // table.max_epochs} configurations of {table.max_epochs} epochs"
    yield f"medians of {len(found.seeds)} seeds with bootstrap intervals, worst stratum; never: more than half of the"
    yield f"sweeps did not get there in {most_epochs(table)} trial-epochs ({whole(table)} for random without stopping)"
    how = "on the other tables" if found.elsewhere else "nowhere: there is no other table, so the first candidates run"
    lost = len(lost_to_collapse_rule(table, goals_of(spec_for("letheon", {}, 0, table, whole(table))).search_goals))
    yield f"settings were chosen {how}; the collapse rule loses {lost} front configurations"


def _epochs(found: Comparison, source: Source) -> Iterator[str]:
    """Trial-epochs to both shares, each stratum's, and what part of random's the worst one is."""
    strata = list(found.strata(source, found.names[0]))
    yield ""
    heads = "".join(f"{f'{stratum}':>8}" for stratum in strata)
    yield f"{'trial-epochs to a share':{WIDTH}} {'90%':>20} {'95%':>20} {'of random':>10}  95% by stratum:{heads}"
    base = epochs_to(found, source, "random", 95).value if "random" in found.names else math.nan
    for name in found.names:
        early, late = epochs_to(found, source, name, 90), epochs_to(found, source, name, 95)
        each = {
            stratum: worst_median({stratum: [it.epochs_95 for it in values]}, "most").value
            for stratum, values in found.strata(source, name).items()
        }
        part = f"{late.value / base:.2f}" if math.isfinite(late.value / base) else "-"
        cells = "".join(f"{_shown(each[stratum]):>8}" for stratum in strata)
        figures = f"{_interval(early):>20} {_interval(late):>20} {part:>10}  {'':15}{cells}"
        yield f"{POLICIES[name].label:{WIDTH}} {figures}{_chosen(found, source, name)}"


def _budgets(found: Comparison, source: Source) -> Iterator[str]:
    yield ""
    yield f"{'hypervolume share after':{WIDTH}}" + "".join(f"{f'{count} trials':>20}" for count in TRIALS)
    for name in found.names:
        each = share_after(found, source, name)
        yield f"{POLICIES[name].label:{WIDTH}}" + "".join(f"{_interval(each[count], 3):>20}" for count in TRIALS)


def _wall(found: Comparison, source: Source) -> Iterator[str]:
    workers = [it for it in sorted(WORKERS) if _ran(found, source, it)]
    yield ""
    yield f"{'virtual seconds to 95% with':{WIDTH}}" + "".join(f"{f'{count} workers':>22}" for count in workers)
    for name in found.names:
        each = [seconds_to(found, source, name, count) for count in workers]
        yield f"{POLICIES[name].label:{WIDTH}}" + "".join(f"{_interval(it):>22}" for it in each)


def _ran(found: Comparison, source: Source, workers: int) -> bool:
    return any(task.workers == workers and task.table == source.path for task in found.results)


def epochs_to(found: Comparison, source: Source, name: str, share: Literal[90, 95]) -> Estimate:
    """Trial-epochs of the whole sweep until the worst stratum had 90 or 95% of its hypervolume."""
    field = f"epochs_{share}"
    return worst_median(
        {key: [getattr(it, field) for it in each] for key, each in found.strata(source, name).items()}, "most"
    )


def seconds_to(found: Comparison, source: Source, name: str, workers: int) -> Estimate:
    """Virtual seconds until the worst stratum had 95% of its hypervolume."""
    strata = found.strata(source, name, workers)
    return worst_median({key: [it.seconds_95 for it in each] for key, each in strata.items()}, "most")


def share_after(found: Comparison, source: Source, name: str) -> dict[int, Estimate]:
    """The worst stratum's share of its hypervolume after 8, 16, 32 and 64 trials of the whole sweep."""
    strata = found.strata(source, name)
    return {
        count: worst_median({key: [it.after[i] for it in each] for key, each in strata.items()}, "least")
        for i, count in enumerate(TRIALS)
    }


def summary(found: Comparison) -> dict[str, Any]:
    """The last line. Null stands for never."""
    tables = {source.name: _summary_of(found, source) for source in found.sources}
    return {"tables": tables, "left_out": found.elsewhere, "seeds": len(found.seeds)}


def _summary_of(found: Comparison, source: Source) -> dict[str, Any]:
    late = {name: epochs_to(found, source, name, 95) for name in found.names}
    after = {name: share_after(found, source, name) for name in found.names}
    workers = [it for it in sorted(WORKERS) if _ran(found, source, it)]
    return {
        "epochs_to_95": {name: _finite(each.value) for name, each in late.items()},
        "epochs_to_95_interval": {name: [_finite(it.low), _finite(it.high)] for name, it in late.items()},
        "epochs_to_90": {name: _finite(epochs_to(found, source, name, 90).value) for name in found.names},
        "hypervolume_at": {
            name: {str(count): round(it.value, 4) for count, it in each.items()} for name, each in after.items()
        },
        "seconds_to_95": {
            name: {str(count): _finite(seconds_to(found, source, name, count).value) for count in workers}
            for name in found.names
        },
        "settings": {
            name: POLICIES[name].settings[found.settings[source.name, name]]
            for name in found.names
            if len(POLICIES[name].settings) > 1
        },
        "best_baseline": _best(late, [name for name in BASELINES if name in found.names]),
    }


def _best(epochs: Mapping[str, Estimate], baselines: Sequence[str]) -> str | None:
    """The baseline with the fewest epochs; None if none got there."""
    there = [name for name in baselines if math.isfinite(epochs[name].value)]
    return min(there, key=lambda name: epochs[name].value, default=None)


def _chosen(found: Comparison, source: Source, name: str) -> str:
    settings = POLICIES[name].settings
    return f"  {json.dumps(settings[found.settings[source.name, name]])}" if len(settings) > 1 else ""


def _shown(value: float, digits: int = 0) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "never"


def _interval(it: Estimate, digits: int = 0) -> str:
    return f"{_shown(it.value, digits)} ({_shown(it.low, digits)}-{_shown(it.high, digits)})"


def _finite(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None
