"""Reports the comparison of policies: a table, a figure and a summary. Reads results only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from policies.collapse import lost_to_collapse_rule
from policies.compare import POLICIES, SHARE, Result

from letheon.search.trajectories import Table

Found = Mapping[str, Sequence[Result]]


def epochs_to_share(results: Sequence[Result]) -> dict[str, float]:
    """Median over seeds of the trial-epochs until each stratum had its share; infinite where most never had."""
    strata = sorted({stratum for result in results for stratum in result.curve[0][1]})
    return {stratum: median(result.reached.get(stratum, math.inf) for result in results) for stratum in strata}


def table_lines(found: Found) -> Iterator[str]:
    """One line per policy: the worst stratum, each stratum, how many sweeps got there, against random search."""
    strata = list(epochs_to_share(next(iter(found.values()))))
    baseline = max(epochs_to_share(found["random"]).values())
    yield f"trial-epochs until {SHARE:.0%} of the table's hypervolume, median of {len(found['random'])} seeds"
    yield f"{'policy':36} {'worst':>7} {'of random':>9}  {'  '.join(f'{s:>7}' for s in strata)}  {'got there':>9}"
    for name, results in found.items():
        each = epochs_to_share(results)
        worst = max(each.values())
        share = f"{worst / baseline:.2f}" if math.isfinite(worst) else "-"
        there = sum(len(result.reached) == len(strata) for result in results)
        cells = "  ".join(f"{_shown(each[stratum]):>7}" for stratum in strata)
        yield (f"{POLICIES[name].label:36} {_shown(worst):>7} {share:>9}  {cells}  {f'{there}/{len(results)}':>9}")


def _shown(epochs: float) -> str:
    return f"{epochs:.0f}" if math.isfinite(epochs) else "never"


def summary(found: Found, path: Path) -> dict[str, Any]:
    """The last line: medians over seeds, the worst stratum of each policy, null for never."""
    each = {name: epochs_to_share(results) for name, results in found.items()}
    return {
        "seeds": len(next(iter(found.values()))),
        "epochs_to_95": {name: _finite(max(medians.values())) for name, medians in each.items()},
        "by_stratum": {
            stratum: {name: _finite(medians[stratum]) for name, medians in each.items()} for stratum in each["random"]
        },
        "lost_to_collapse_rule": len(lost_to_collapse_rule(Table.read(path))),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def draw(found: Found, path: Path) -> None:
    """Median and quartiles of the hypervolume found, over trial-epochs; one panel per stratum."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    strata = sorted(next(iter(found.values()))[0].curve[0][1])
    last = max(result.epochs for results in found.values() for result in results)
    grid = np.unique(np.geomspace(10, last, 300).astype(int))
    figure, panels = pyplot.subplots(1, len(strata), figsize=(4.2 * len(strata), 3.8), sharey=True, squeeze=False)
    for panel, stratum in zip(panels[0], strata, strict=True):
        for name, results in found.items():
            shares = np.array([_along(result, stratum, grid) for result in results])
            low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75], axis=0)
            line = panel.plot(grid, middle, label=POLICIES[name].label, linewidth=1.8)[0]
            panel.fill_between(grid, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        panel.axhline(SHARE, color="0.5", linewidth=0.8, linestyle=":")
        panel.set(title=f"forget fraction {stratum}", xlabel="trial-epochs of the sweep", xscale="log", ylim=(0, 1.03))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("hypervolume, share of the table's")
    panels[0][0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _along(result: Result, stratum: str, grid: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, Any]:
    """The share at each number of epochs; constant after the end of the sweep."""
    epochs = np.array([at for at, _ in result.curve])
    shares = np.array([strata[stratum] for _, strata in result.curve])
    return shares[np.searchsorted(epochs, grid, side="right") - 1]
