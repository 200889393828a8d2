"""The sections of a sweep's screen, each drawn from the view alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from letheon.analysis.time_left import duration, in_words
from letheon.common.counting import several, several_of
from letheon.journal import TrialState
from letheon.journal.state import ACTIVE
from letheon.monitor.terminal import GAP, Column, clean, cut_text, grid, share_lines
from letheon.monitor.view import LiveView, StratumView, place
from letheon.pareto.front import verdict_of
from letheon.pareto.labels import COMPANIONS, short_label
from letheon.searchers.expectation import AHEAD

STYLES = {
    "running": "cyan",
    "preparing": "cyan",
    "completed": "green",
    "finished": "green",
    "pruned": "yellow",
    "stopped": "yellow",
    "interrupted": "yellow",
    "collapsed": "red",
    "failed": "bold red",
}
BAR_WIDTHS = (8, 40)
BEFORE_BARS = 3
"""Columns up to this rank get their width before the bars do."""
FRONT_WIDTH = 66
KNEE_LINES, FRONT_LINES = 2, 4
"""Lines of a front: heading and knee; heading, knee and both ends."""
SETTINGS = {"learning_rate": "lr", "beta": "beta", "retain_weight": "retain"}

HOUR = 3600.0

_P_VALUES = {"log10_forget_quality": "forget_quality", "log10_loss_quality": "loss_quality"}
"""Metrics that are shown as the p-value instead of its logarithm."""


def number(value: Any) -> str:
    """Three significant digits; `-` for a missing or non-finite value."""
    return f"{value:.3g}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def degraded(health: Mapping[str, Any]) -> str:
    """`tracking degraded: 120 rows behind at http://…: why`."""
    return f"tracking degraded: {several(health['behind'], 'row')} behind at {health['where']}: {health['cause']}"


def counted(count: int, planned: int | None) -> str:
    return f"{count}" if planned is None else f"{count} of {planned}"


def header(view: LiveView) -> RenderableType:
    """Name, state, progress and time; then the number of trials in each state."""
    state = view.state
    trials, epochs = several_of(len(state.trials), view.spec.planned, "trial"), several(view.epochs, "epoch")
    words = [(state.sweep, "bold"), (state.state, f"bold {STYLES.get(state.state, '')}")]
    words += [(fact, "") for fact in (trials, epochs, duration(state.seconds))]
    if state.state in ACTIVE:
        words.append((in_words(view.left) if state.state == "running" else view.left.how, "bold"))
    order, counts = ("running", "interrupted", "completed", "pruned", "collapsed", "stopped", "failed"), state.counts
    ended = [(f"{counts[name]} {name}", STYLES[name]) for name in order if counts.get(name)]
    lines = (Text("  ").join(Text(clean(text), style=style) for text, style in line) for line in (words, ended) if line)
    return Group(*lines)


def notes(view: LiveView, resume: str | None) -> RenderableType | None:
    """What a reader must know first: a failure, an interruption, tracking that is behind. None if there is nothing."""
    state, lines = view.state, []
    if state.detail and state.state != "running":
        lines.append(cut_text(state.detail, STYLES.get(state.state, "")))
    if resume and state.state in ("interrupted", "failed"):
        lines.append(cut_text(f"continue with: {resume}"))
    health = state.tracking or {}
    if health.get("state") == "degraded":
        lines.append(cut_text(degraded(health), "bold red"))
    if not state.trials and state.state == "running":
        lines.append(cut_text("no trial has started yet"))
    return Group(*lines) if lines else None


def strata(view: LiveView, width: int, lines: int) -> Table:
    """A progress bar per fraction and one for all. If not all fit, fractions with running trials come first."""
    names = list(view.strata)
    if len(names) + 2 > lines:
        names = sorted(names, key=lambda name: (not view.strata[name].running, float(name)))[: max(0, lines - 2)]
    chosen, hidden = [view.strata[name] for name in names], len(view.strata) - len(names)
    rows = [*map(_stratum_cells, chosen), _total_cells(view)]
    ranks = {"trials": 0, "running": 3, "epochs": 2, "hypervolume": 0, "points": 5, "knee": 4}
    first = Column("fraction", [*names, f"all ({hidden} not shown)" if hidden else "all"])
    others = [Column(head, [row[i] for row in rows], True, rank) for i, (head, rank) in enumerate(ranks.items())]
    needed = sum(column.width + GAP for column in (first, *others) if column.rank <= BEFORE_BARS)
    bar_width = min(max(width - needed, BAR_WIDTHS[0]), BAR_WIDTHS[1])
    done = [*(_done(view, stratum) for stratum in chosen), _all_done(view)]
    bars = [
        ProgressBar(total=1, completed=share, width=bar_width, complete_style="green", finished_style="green")
        for share in done
    ]
    return grid([first, Column(" " * bar_width, bars, stretch=True), *others], width)


def _stratum_cells(stratum: StratumView) -> list[str]:
    front, knee = stratum.front, stratum.front.get("knee")
    return [
        counted(stratum.ended, stratum.planned),
        str(stratum.running),
        str(stratum.epochs),
        f"{number(front.get('hypervolume', 0.0))} ({percent(stratum.share)})",
        str(len(front.get("points", ()))),
        "" if knee is None else place(knee),
    ]


def _total_cells(view: LiveView) -> list[str]:
    ended = sum(stratum.ended for stratum in view.strata.values())
    running = sum(stratum.running for stratum in view.strata.values())
    return [counted(ended, view.spec.planned), str(running), str(view.epochs), "", "", ""]


def _done(view: LiveView, stratum: StratumView) -> float:
    """Ended trials as a share of the stratum's planned ones; without a plan, of the largest stratum's trials."""
    planned = stratum.planned or max((one.started for one in view.strata.values()), default=0) or 1
    return stratum.ended / planned


def _all_done(view: LiveView) -> float:
    """Ended trials as a share of the planned ones; without a plan, the used share of the tightest budget limit."""
    if view.spec.planned:
        return sum(stratum.ended for stratum in view.strata.values()) / view.spec.planned
    return max((used / limit for _, limit, used in view.budget if limit), default=0.0)


def running(view: LiveView, width: int, lines: int) -> Table:
    """The running trials; if not all fit, those with the most epochs."""
    trials = [trial for trial in view.state.trials if trial.outcome is None]
    if len(trials) >= lines:
        trials = sorted(trials, key=lambda trial: -trial.epoch)[: max(0, lines - 1)]
    columns = [
        *_identity("running", trials),
        *_settings(trials),
        Column("epoch", [counted(trial.epoch, view.spec.max_epochs) for trial in trials], True),
        *_metrics(view, [trial.metrics for trial in trials]),
        Column("since", [duration(view.since.get(trial.trial, 0.0)) for trial in trials], True, 6),
    ]
    return grid(columns, width)


def _identity(head: str, trials: Sequence[TrialState]) -> list[Column]:
    return [
        Column(head, [Text(trial.trial, STYLES["running"] if trial.outcome is None else "") for trial in trials]),
        Column("fraction", [trial.stratum for trial in trials], True, 1),
        Column("method", [str(trial.config.get("method", "")) for trial in trials]),
    ]


def _settings(trials: Sequence[TrialState]) -> list[Column]:
    """The hyper-parameters in SETTINGS that any of the trials has."""
    found = []
    for i, (name, head) in enumerate(SETTINGS.items()):
        values = [trial.config.get(name) for trial in trials]
        if any(value is not None for value in values):
            found.append(Column(head, ["" if value is None else number(value) for value in values], True, 3 + i))
    return found


def _metrics(view: LiveView, metrics: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Both objectives, with forget quality as a p-value, and the utility's share of the target model's."""
    names = [_P_VALUES.get(axis.metric, axis.metric) for axis in view.spec.goals.search_goals.axes]
    more = [name for axis in names for name in COMPANIONS.get(axis, ())]
    columns = [Column(short_label(name), [number(one.get(name)) for one in metrics], True) for name in names]
    return columns + [Column(short_label(name), [number(one.get(name)) for one in metrics], True, 2) for name in more]


Fronts = list[list[tuple[str, Mapping[str, Any]]]]
"""(fraction, front) pairs; those of an inner list are drawn side by side."""


def known_fronts(view: LiveView, width: int) -> Fronts:
    """The fronts that have points, as many side by side as fit."""
    known = [(key, stratum.front) for key, stratum in view.strata.items() if stratum.front.get("points")]
    per_row = max(1, min(len(known), width // FRONT_WIDTH))
    return [known[i : i + per_row] for i in range(0, len(known), per_row)]


def front_lines(groups: Fronts) -> list[int]:
    """The lines that each group of fronts needs to show all of its points."""
    return [1 + max(len(front["points"]) for _, front in group) for group in groups]


def fronts(view: LiveView, groups: Fronts, width: int, lines: int) -> RenderableType:
    """The best points of every front, with the knee marked."""
    per_row = max(map(len, groups))
    least = FRONT_LINES if lines >= FRONT_LINES * len(groups) else KNEE_LINES
    shares = share_lines(lines, [(min(least, most), most) for most in front_lines(groups)])
    each = width // per_row - (GAP if per_row > 1 else 0)
    drawn = []
    for group, share in zip(groups, shares, strict=True):
        if not share:
            continue
        row = Table.grid(padding=(0, GAP, 0, 0))
        for _ in group:
            row.add_column(width=each)
        row.add_row(*(_front(view, key, front, each, share - 1) for key, front in group))
        drawn.append(row)
    return Group(*drawn)


def _front(view: LiveView, key: str, front: Mapping[str, Any], width: int, most: int) -> Table:
    points, knee = front["points"], front["knee"]
    shown = ends_and_knee(points, knee, most)
    knees = [knee is not None and place(point) == place(knee) for point in shown]
    count = "" if len(shown) == len(points) else f" ({len(shown)} of {len(points)})"
    columns = [
        Column("", ["*" if is_knee else " " for is_knee in knees]),
        Column(f"front {key}{count}", [Text(place(it), "bold" * bold) for it, bold in zip(shown, knees, strict=True)]),
        Column("method", [str(point["config"].get("method", "")) for point in shown]),
        Column("verdict", [verdict_of(point) for point in shown], rank=1),
        Column("lr", [number(point["config"].get("learning_rate")) for point in shown], True, 3),
        *_metrics(view, [point["metrics"] for point in shown]),
    ]
    return grid(columns, width)


def ends_and_knee(
    points: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None, most: int
) -> list[Mapping[str, Any]]:
    """At most `most` points of a front, in its order: the knee, the end that forgot most, the other end, then the
    points closest to the knee.
    """
    places = [place(point) for point in points]
    middle = places.index(place(knee)) if knee is not None and place(knee) in places else 0
    near = sorted(range(len(points)), key=lambda i: abs(i - middle))
    chosen = list(dict.fromkeys([middle, len(points) - 1, 0, *near]))[:most] if points else []
    return [points[i] for i in sorted(chosen)]


def ended(view: LiveView, width: int, lines: int) -> Table:
    """The trials that ended last, newest first, with the reason."""
    by_name = {trial.trial: trial for trial in view.state.trials}
    trials = [by_name[name] for name in view.ended_last[::-1][: max(0, lines - 1)] if name in by_name]
    columns = [
        *_identity("ended", trials),
        Column("epoch", [str(trial.epoch) for trial in trials], True),
        Column("how", [Text(str(trial.outcome), STYLES[str(trial.outcome)]) for trial in trials]),
        Column("why", [cut_text(trial.reason or "", "dim") for trial in trials], stretch=True),
    ]
    return grid(columns, width)


def trials(view: LiveView, width: int) -> Table:
    """All trials with all columns; on a narrow terminal the reasons wrap."""
    every = view.state.trials
    columns = [
        *_identity("trial", every),
        Column("state", [trial.outcome or trial.state for trial in every]),
        Column("epoch", [str(trial.epoch) for trial in every], True),
        *_metrics(view, [trial.metrics for trial in every]),
        Column("reason", [Text(clean(trial.reason or ""), overflow="fold") for trial in every], stretch=True),
    ]
    return grid([replace(column, rank=0) for column in columns], width)


def cost_facts(view: LiveView) -> Iterator[tuple[str, str]]:
    """(label, text) pairs: how the slots' time was spent, what early stopping saved, what is still to be expected, how
    much budget is used."""
    work, cost, counts = view.cost.total, view.cost, view.state.counts
    if (total := cost.slot_seconds) > 0:
        uses = {"train": work.train, "evaluate": work.evaluation, "start-up": work.startup, "idle": cost.idle}
        parts = ", ".join(f"{name} {percent(seconds / total)}" for name, seconds in uses.items())
        gpus = f"; {cost.gpu_seconds / HOUR:.3g} GPU-hours" if cost.gpus else ""
        yield "cost", f"{duration(total)} of slots: {parts}; wasted {percent(cost.wasted_share)}{gpus}"
    if work.epochs_saved:
        saved = f"{several(work.epochs_saved, 'epoch')} ({duration(work.seconds_saved)})"
        early = counts.get("pruned", 0) + counts.get("collapsed", 0)
        yield "saved", f"{saved} not run by {several(early, 'trial')} stopped early"
    expected = {key: it.expected for key, it in view.strata.items() if it.expected is not None}
    if expected:
        parts = ", ".join(f"{percent(share)} at {key}" for key, share in expected.items())
        yield "expected", f"{parts}: what the next {AHEAD} trials of a fraction may add to its hypervolume"
    if view.budget:
        limits = (f"{number(used)} of {number(limit)} {name.replace('_', ' ')}" for name, limit, used in view.budget)
        yield "budget", ", ".join(limits)


def cost(view: LiveView) -> Table | None:
    """`cost_facts` as a table; None if there are none yet."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    for label, fact in cost_facts(view):
        table.add_row(label, fact)
    return table if table.row_count else None
