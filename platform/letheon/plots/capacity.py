"""The figure of how much each method can forget: its best forget quality per forget fraction."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from letheon.analysis.capacity import MethodResult
from letheon.plots.marks import mark_of
from letheon.plots.theme import THEMES, ThemeName
from trainables.evaluation.verdict import FORGOTTEN

_FLOOR = -20.0


def plot_capacity(
    found: Sequence[MethodResult], utility_kept: float, theme: ThemeName = "light", dpi: int = 160
) -> bytes:
    """PNG with one line per method; gaps where nothing was tried, or nothing keeps the utility."""
    from matplotlib.figure import Figure

    colours = THEMES[theme]
    figure = Figure(figsize=(8.4, 4.8), facecolor=colours.surface, layout="constrained")
    axes = figure.subplots()
    fractions = sorted({result.fraction for result in found})
    axes.set_facecolor(colours.surface)
    for method in dict.fromkeys(result.method for result in found):
        own = {result.fraction: result for result in found if result.method == method}
        qualities = [_quality(own.get(fraction)) for fraction in fractions]
        mark = mark_of(method)
        axes.plot(
            fractions,
            qualities,
            label=method,
            color=mark.colour(theme),
            marker=mark.shape.marker,
            linestyle=mark.shape.line,
            markersize=5,
        )
    axes.axhline(math.log10(FORGOTTEN), color=colours.good, linewidth=1)
    edge = axes.get_yaxis_transform()
    axes.text(0.01, math.log10(FORGOTTEN), f"p = {FORGOTTEN:g}", color=colours.good, va="bottom", transform=edge)
    axes.set_xticks(fractions, [f"{fraction:g}" for fraction in fractions])
    axes.set_xlabel("forget fraction", color=colours.muted)
    axes.set_ylabel(f"best log10 forget quality at ≥ {utility_kept:.0%} of the utility", color=colours.muted)
    axes.tick_params(colors=colours.muted)
    axes.grid(color=colours.grid)
    axes.spines[:].set_color(colours.grid)
    figure.legend(loc="outside right upper", frameon=False, labelcolor=colours.ink)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi, facecolor=colours.surface, metadata={"Software": "letheon"})
    return picture.getvalue()


def _quality(result: MethodResult | None) -> float:
    """log10 of the p-value, at least _FLOOR; NaN without one."""
    if result is None or result.forget_quality is None:
        return math.nan
    return max(_FLOOR, math.log10(max(result.forget_quality, 1e-300)))
