"""Draws the synthetic experiment: forget against retain quality by method, and the drift of the weights by beta.

Colour is the forget loss, dash the retain term. Reads paths, computes nothing but means.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator
from synthetic_paths import Path  # type: ignore[import-not-found]  # beside the script

from letheon.plots.theme import LIGHT

_COLOURS = dict(zip(("npo", "ga", "dpo", "idk"), (*LIGHT.methods[:3], LIGHT.methods[5]), strict=True))
_DASHES: dict[str, Any] = {"": "-", "rt": (0, (4, 1.5)), "kl": (0, (1, 1.2))}
_NAMES = {"": "", "rt": "+RT", "kl": "+KL"}
_DPI = 160
_CLOSE = 5.5
"""Drift up to here is drawn again on a logarithmic axis of steps."""


def write_figures(
    folder: FilePath, by_alpha: Mapping[float, Mapping[str, Path]], drift: Mapping[str, Path]
) -> list[FilePath]:
    """`npo_synthetic.png` (a panel for each alpha) and `npo_synthetic_drift.png`. Returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _saved(_trade_off(by_alpha), folder / "npo_synthetic.png"),
        _saved(_drift(drift), folder / "npo_synthetic_drift.png"),
    ]


def _trade_off(by_alpha: Mapping[float, Mapping[str, Path]]) -> Any:
    figure, axes = _panels(len(by_alpha), (10.4, 4.6))
    for axis, (alpha, paths) in zip(axes, by_alpha.items(), strict=True):
        for method, path in paths.items():
            _path(axis, method, path)
        first = next(iter(paths.values())).measured
        start = float(first.forget_kl[0].mean()), float(first.retain_kl[0].mean())
        axis.scatter(*start, s=44, color=LIGHT.ink, zorder=4)
        has_room = any(float(path.measured.forget_kl.mean(1).max()) > 2 * start[0] for path in paths.values())
        side, offset = ("left", 9) if has_room else ("right", -8)
        axis.annotate("target model", start, (offset, -14), textcoords="offset points", ha=side, color=LIGHT.ink)
        axis.set(xscale="log", yscale="log", title=f"alpha = {alpha:g}")
        axis.set_xlabel("KL to the retain model on forget inputs")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
            scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            scale.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes[0].set_ylabel("KL to the retain model on retain inputs")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="center right", frameon=False, labelcolor=LIGHT.ink)
    figure.suptitle("lower left is better; a ring marks the most forgetting of a path", color=LIGHT.muted, fontsize=10)
    figure.tight_layout(rect=(0, 0, 0.88, 1))
    return figure


def _path(axis: Any, method: str, path: Path) -> None:
    loss, _, term = method.partition("_")
    x, y = path.measured.forget_kl.mean(1).numpy(), path.measured.retain_kl.mean(1).numpy()
    best = int(x.argmin())
    name = loss.upper() + _NAMES[term]
    axis.plot(x, y, color=_COLOURS[loss], linestyle=_DASHES[term], linewidth=1.7, label=name)
    axis.scatter(x[best], y[best], s=34, facecolor=LIGHT.surface, edgecolor=_COLOURS[loss], linewidth=1.5, zorder=3)


def _drift(paths: Mapping[str, Path]) -> Any:
    figure, (whole, near) = _panels(2, (10.4, 4.2))
    for index, (name, path) in enumerate(paths.items()):
        colour = _COLOURS["ga"] if name == "ga" else LIGHT.methods[(0, 2, 5, 6, 3)[(index - 1) % 5]]
        means, steps = path.measured.weight_drift.mean(1).numpy(), path.steps.numpy()
        label = "GA" if name == "ga" else name.replace("npo, beta ", "NPO, β = ")
        whole.plot(steps, means, color=colour, linewidth=1.7)
        near.plot(steps[1:], means[1:], color=colour, linewidth=1.7)
        above = 8 if name == "npo, beta 0.5" else -3
        axis, end = (whole, means[-1]) if means[-1] > _CLOSE else (near, means[-1])
        axis.annotate(label, (steps[-1], end), (5, above - 5), textcoords="offset points", color=colour, fontsize=9)
    whole.set(title="linear under gradient ascent …", xlabel="steps", ylabel="distance of the weights from the target")
    near.set(title="… logarithmic under NPO", xlabel="steps (logarithmic)", xscale="log", ylim=(0, _CLOSE))
    near.set_xlim(left=100)
    near.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.tight_layout(rect=(0, 0, 0.95, 1), w_pad=7)
    return figure


def _panels(count: int, size: tuple[float, float]) -> tuple[Any, Any]:
    figure, axes = plt.subplots(1, count, figsize=size, squeeze=False, facecolor=LIGHT.surface)
    for axis in axes[0]:
        axis.grid(color=LIGHT.grid, linewidth=0.8)
        axis.tick_params(colors=LIGHT.muted, which="both", length=0)
        axis.spines[:].set_visible(False)
        for text in (axis.xaxis.label, axis.yaxis.label, axis.title):
            text.set_color(LIGHT.ink)
    return figure, axes[0]


def _saved(figure: Any, path: FilePath) -> FilePath:
    figure.savefig(path, dpi=_DPI, facecolor=LIGHT.surface)
    plt.close(figure)
    return path
