"""The figure of the fronts: one panel per forget fraction. Uses no global state of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from letheon.pareto.labels import label
from letheon.plots.labels import Box, Label, place
from letheon.plots.layout import Row, View, views
from letheon.plots.marks import mark_of
from letheon.plots.theme import THEMES, Theme, ThemeName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from letheon.plots.figure import FrontFigure

_SAME_LOG10 = math.log10(0.05)  # above it the KS test does not distinguish the model from one that never saw the data
_P_VALUES = ("log10_forget_quality", "log10_loss_quality")
_COLUMNS = 3
_PANEL = (5.4, 4.6)  # inches
_NOTE: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": 7.5}


def plot_front(front: Mapping[str, Any], rows: Sequence[Row], theme: ThemeName = "light", dpi: int = 160) -> bytes:
    """PNG of `front_figure`. Equal input gives an equal picture."""
    return front_figure(front, rows, theme).png(dpi)


def front_figure(front: Mapping[str, Any], rows: Sequence[Row], theme: ThemeName = "light") -> FrontFigure:
    """The fronts with dominated checkpoints, trajectories, target and retain model.

    `front`: in the shape of `front --json`; `rows`: of the journal.
    """
    from letheon.plots.figure import FrontFigure

    shown, colours = views(front, rows), THEMES[theme]
    columns = max(1, min(_COLUMNS, len(shown)))
    lines = max(1, math.ceil(len(shown) / columns))
    figure = FrontFigure(figsize=(_PANEL[0] * columns + 0.3, _PANEL[1] * lines + 0.9), facecolor=colours.surface)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    _title(figure, str(front.get("sweep", "")), colours)
    for axes, view in zip(panels, shown, strict=False):
        _panel(axes, view, theme)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    if not shown:
        figure.text(0.5, 0.5, "no trial has reported yet", ha="center", color=colours.muted)
    _legend(figure, shown, theme)
    return figure


def _title(figure: Figure, sweep: str, colours: Theme) -> None:
    height = figure.get_figheight()
    figure.subplots_adjust(
        left=0.75 / figure.get_figwidth(),
        right=1 - 0.25 / figure.get_figwidth(),
        top=1 - 0.95 / height,
        bottom=1.0 / height,
        wspace=0.18,
        hspace=0.34,
    )
    left = 0.75 / figure.get_figwidth()
    title = "Forgetting against utility" + (f"  ·  {sweep}" if sweep else "")
    figure.text(left, 1 - 0.42 / height, title, color=colours.ink, fontsize=14, fontweight="bold", parse_math=False)


def _panel(axes: Axes, view: View, theme: ThemeName) -> None:
    colours = THEMES[theme]
    low, high, bottom, top = _limits(view)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    _frame(axes, view, colours)
    _regions(axes, view, colours)
    for path in view.paths:
        mark = mark_of(path.method)
        colour = mark.colour(theme)
        xs, ys = [spot.x for spot in path.spots], [spot.y for spot in path.spots]
        axes.plot(xs, ys, color=colour, alpha=0.22, lw=1.0, ls=mark.shape.line, zorder=2)
        measured = [spot for spot, epoch in zip(path.spots, path.epochs, strict=True) if epoch > 0]
        style: dict[str, Any] = {"marker": mark.shape.marker, "color": colour, "alpha": 0.5, "lw": 0}
        axes.scatter([s.x for s in measured], [s.y for s in measured], s=11, zorder=3, **style)
        if path.outcome in ("pruned", "collapsed") and measured:
            axes.scatter(*measured[-1], s=22, marker="x", color=colour, alpha=0.75, lw=1.1, zorder=4)
    _front_line(axes, view, colours)
    _means(axes, view, theme)
    for spot in view.front:
        mark = mark_of(spot.method)
        face, edge = mark.colour(theme), colours.surface
        size = 74.0 if spot.third is None else 40 + 110 * spot.third
        axes.scatter(*spot.spot, s=size, marker=mark.shape.marker, color=face, ec=edge, lw=1.4, zorder=7)
        if spot.is_knee:
            axes.scatter(*spot.spot, s=190, facecolors="none", ec=colours.ink, lw=1.5, zorder=8)
    _landmarks(axes, view, colours)
    _labels(axes, view, colours)
    below = sum(spot.y < bottom for path in view.paths for spot in path.spots)
    if below:
        axes.text(
            0.015, 0.02, f"▾ {below} checkpoints below", transform=axes.transAxes, color=colours.muted, fontsize=7.5
        )


def _limits(view: View) -> tuple[float, float, float, float]:
    """Left, right, bottom, top. Collapsed checkpoints may lie below the bottom; their number is shown there."""
    spots = [spot for path in view.paths for spot in path.spots] + [item.spot for item in view.front]
    spots += [spot for spot in (view.target, view.retain) if spot is not None]
    xs, ys = [spot.x for spot in spots] or [-1.0], [spot.y for spot in spots] or [0.0, 1.0]
    top, bottom = max(ys), min(ys)
    if view.floor is not None:
        bottom = min(max(bottom, view.floor * 0.55), view.floor * 0.94)
    height = max(top - bottom, 1e-3)
    return *_sides(view, xs), bottom - 0.05 * height, top + 0.13 * height


def _sides(view: View, xs: Sequence[float]) -> tuple[float, float]:
    """Left and right end. The axis of a p-value ends at 1 and includes p = 0.05."""
    if view.plane.x.metric in _P_VALUES:
        left = min(*xs, _SAME_LOG10 - 0.7)
        return left + 0.05 * left, max(-0.05 * left, 0.12)
    width = max(max(xs) - min(xs), 1e-3)
    return min(xs) - 0.05 * width, max(xs) + 0.1 * width


def _frame(axes: Axes, view: View, colours: Theme) -> None:
    axes.set_facecolor(colours.surface)
    axes.set_title(
        f"forget fraction {view.fraction}", loc="left", fontsize=10.5, fontweight="bold", color=colours.ink, pad=8
    )
    axes.set_xlabel(f"{label(view.plane.x.metric)}  →", color=colours.muted, fontsize=9, parse_math=False)
    axes.set_ylabel(f"{label(view.plane.y.metric)}  →", color=colours.muted, fontsize=9, parse_math=False)
    for axis, objective in ((axes.xaxis, view.plane.x), (axes.yaxis, view.plane.y)):
        if objective.sign < 0:  # better is right and up, where these numbers fall
            axis.set_major_formatter(lambda value, _: f"{0.0 - value:g}")
    axes.grid(color=colours.grid, lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colours.muted, labelsize=8, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.faint)


def _regions(axes: Axes, view: View, colours: Theme) -> None:
    """Shades where checkpoints have forgotten as well as by retraining, and where they are below the utility floor."""
    if view.plane.x.metric in _P_VALUES:
        axes.axvspan(_SAME_LOG10, axes.get_xlim()[1], color=colours.good, alpha=0.07, lw=0, zorder=0.5)
        axes.axvline(_SAME_LOG10, color=colours.good, lw=0.9, alpha=0.6, zorder=1)
        axes.annotate(
            "p > 0.05",
            (_SAME_LOG10, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            color=colours.good,
            **_NOTE,
        )
    if view.floor is not None:
        axes.axhspan(axes.get_ylim()[0], view.floor, color=colours.bad, alpha=0.10, lw=0, zorder=0.5)
        axes.axhline(view.floor, color=colours.bad, lw=0.9, ls=(0, (4, 3)), zorder=1)
        axes.annotate(
            "utility floor",
            (0, view.floor),
            xycoords=("axes fraction", "data"),
            xytext=(4, -3),
            color=colours.muted,
            **_NOTE,
        )


def _front_line(axes: Axes, view: View, colours: Theme) -> None:
    """The attainment staircase, and the area that the hypervolume counts."""
    if not view.front:
        return
    stairs = view.stairs
    xs = [axes.get_xlim()[0], *(spot.x for spot in stairs)]
    ys = [stairs[0].y, *(spot.y for spot in stairs)]
    axes.fill_between(xs, ys, _base(axes, view), step="pre", color=colours.ink, alpha=0.035, lw=0, zorder=1)
    for (x0, y0), (x1, y1) in _staircase(axes, view):
        axes.plot([x0, x1], [y0, y1], color=colours.ink, lw=1.3, alpha=0.8, zorder=5)


def _staircase(axes: Axes, view: View) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The horizontal and vertical pieces of the front's line."""
    spots = view.stairs
    for one, after in pairwise(spots):
        yield (one.x, one.y), (one.x, after.y)
        yield (one.x, after.y), (after.x, after.y)
    if spots:
        yield (spots[-1].x, spots[-1].y), (spots[-1].x, _base(axes, view))


def _base(axes: Axes, view: View) -> float:
    return view.floor if view.floor is not None else axes.get_ylim()[0]


def _thin(start: tuple[float, float], end: tuple[float, float]) -> Box:
    (left, right), (bottom, top) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    return Box(left - 1, bottom - 1, right + 1, top + 1)


def _means(axes: Axes, view: View, theme: ThemeName) -> None:
    """The front of means over seeds, with their intervals in both directions."""
    for bar in view.means:
        (x0, x1), (y0, y1), spot = bar.x, bar.y, bar.spot
        xerr, yerr = [[spot.x - x0], [x1 - spot.x]], [[spot.y - y0], [y1 - spot.y]]
        colour = mark_of(bar.method).colour(theme)
        axes.errorbar(*spot, xerr=xerr, yerr=yerr, color=colour, elinewidth=1.2, capsize=2.5, zorder=5.5)
        axes.scatter(*spot, s=46, marker="s", facecolors=THEMES[theme].surface, ec=colour, lw=1.4, zorder=6)


def _landmarks(axes: Axes, view: View, colours: Theme) -> None:
    """Target and retain model, hollow and on top, so that a checkpoint at the same place stays visible too."""
    for spot, marker, size in ((view.target, "D", 90), (view.retain, "*", 260)):
        if spot is not None:
            for edge, width in ((colours.surface, 3.2), (colours.ink, 1.4)):
                hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": edge, "linewidths": width}
                axes.scatter(*spot, s=size, marker=marker, zorder=8.5, clip_on=False, **hollow)


def _labels(axes: Axes, view: View, colours: Theme) -> None:
    """Names of front points where there is room: the knee always, then the ends, then the others."""
    from matplotlib.patheffects import withStroke

    panel = axes.get_window_extent()
    scale = 72 / axes.figure.dpi

    def points(spot: tuple[float, float]) -> tuple[float, float]:
        x, y = axes.transData.transform(spot)
        return (x - panel.x0) * scale, (y - panel.y0) * scale

    last = len(view.front) - 1
    labels = []
    for i, item in enumerate(view.front):
        text = item.name + ("  knee" if item.is_knee else "")
        labels.append(Label(text, *points(item.spot), 0 if item.is_knee else 1 if i in (0, last) else 2))
    lines = [_thin(points(start), points(end)) for start, end in _staircase(axes, view)]
    for named, dx, dy, align in place(labels, panel.width * scale, panel.height * scale, lines):
        axes.annotate(
            named.text,
            (named.x, named.y),
            xycoords="axes points",
            xytext=(dx + math.copysign(4 if named.priority == 0 else 0, dx), dy),  # clear of the knee's ring
            textcoords="offset points",
            ha="left" if align == "left" else "right",
            fontsize=8,
            fontweight="bold" if named.priority == 0 else "normal",
            color=colours.ink,
            zorder=9,
            parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground=colours.surface)],
        )


def _legend(figure: Figure, shown: Sequence[View], theme: ThemeName) -> None:
    from matplotlib.lines import Line2D

    colours = THEMES[theme]
    paths = {path.method for view in shown for path in view.paths}
    methods = sorted(paths | {spot.method for view in shown for spot in view.front})

    def mark(label: str, marker: str, colour: str, size: float, edge: str = "none") -> Line2D:
        return Line2D([], [], ls="none", marker=marker, ms=size, mfc=colour, mec=edge, label=label)

    marks = ((name, mark_of(name)) for name in methods)
    handles = [mark(name or "unnamed", of.shape.marker, of.colour(theme), 8) for name, of in marks]
    if any(view.target for view in shown):
        handles.append(mark("target model", "D", "none", 6.5, colours.ink))
    if any(view.retain for view in shown):
        handles.append(mark("retain model", "*", "none", 11, colours.ink))
    if any(view.means for view in shown):
        handles.append(mark("mean of seeds, 95%", "s", colours.surface, 7, colours.muted))
    third = next((view.plane.z for view in shown if view.plane.z is not None), None)
    if third is not None:
        handles.append(mark(f"larger: better {label(third.metric)}", "o", colours.faint, 11))
    handles.append(mark("knee", "o", "none", 10, colours.ink))
    handles.append(mark("stopped early", "x", colours.muted, 5.5, colours.muted))
    height = figure.get_figheight()
    legend = figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.12 / height),
        ncols=min(len(handles), 5 if len(shown) == 1 else 10),
        frameon=False,
        fontsize=8.5,
        labelcolor=colours.ink,
        handletextpad=0.35,
        columnspacing=1.4,
    )
    legend.set_zorder(10)
