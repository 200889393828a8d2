"""The parts of a sweep's picture, each from the view alone. Computes nothing that the view does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from letheon.counting import several, several_of
from letheon.front import verdict_of
from letheon.live.paper import GAP, Column, Paper, bar, flow, grid, side_by_side
from letheon.live.time_left import duration, in_words
from letheon.live.view import LiveView, StratumView
from letheon.records import TrialState
from letheon.records.state import ACTIVE
from letheon.shown import COMPANIONS, short_label

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
BAR_STYLES = ("green", "cyan", "dim")
BAR_WIDTHS = (8, 40)
BESIDE_BARS = 3
"""Columns of strata up to this rank keep their place before bars grow."""
FRONT_WIDTH = 66
SETTINGS = {"learning_rate": "lr", "beta": "beta", "retain_weight": "retain"}
HOUR = 3600.0

_PLAIN = {"log10_forget_quality": "forget_quality", "log10_loss_quality": "loss_quality"}  # people read p-values


def number(value: Any) -> str:
    """Three significant digits; `-` for what is missing or no number."""
    return f"{value:.3g}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole > 0 else "0 %"


def counted(count: int, planned: int | None) -> str:
    return f"{count}" if planned is None else f"{count} of {planned}"


def header(view: LiveView, paper: Paper) -> list[Text]:
    """Name, state, how far, how long; then how many trials are in which state."""
    state = view.state
    trials, epochs = several_of(len(state.trials), view.asked.planned, "trial"), several(view.epochs, "epoch")
    words = [(state.sweep, "bold"), (state.state, f"bold {STYLES.get(state.state, '')}")]
    words += [(fact, "") for fact in (trials, epochs, duration(state.seconds))]
    if state.state in ACTIVE:
        words.append((in_words(view.left) if state.state == "running" else view.left.how, "bold"))
    lines = flow(paper, words, indent=2)
    order, counts = ("running", "interrupted", "completed", "pruned", "collapsed", "stopped", "failed"), state.counts
    return lines + flow(paper, [(f"{counts[name]} {name}", STYLES[name]) for name in order if counts.get(name)], 2)


def notes(view: LiveView, paper: Paper, resume: str | None) -> list[Text]:
    """What a reader must know before anything else: a failure, an interruption, records that are behind."""
    state, lines = view.state, []
    if state.detail and state.state != "running":
        lines.append(paper.line(state.detail, STYLES.get(state.state, "")))
    if resume and state.state in ("interrupted", "failed"):
        lines.append(paper.line(f"continue with: {resume}"))
    health = state.tracking or {}
    if health.get("state") == "degraded":
        lines.append(paper.line(degraded(health), "bold red"))
    if not state.trials and state.state == "running":
        lines.append(paper.line("no trial has started yet"))
    return lines


def degraded(health: Mapping[str, Any]) -> str:
    """`tracking degraded: 120 rows behind at http://…: why`."""
    return f"tracking degraded: {several(health['behind'], 'row')} behind at {health['where']}: {health['cause']}"


def strata(view: LiveView, paper: Paper, lines: int | None) -> list[Text]:
    """A bar for each fraction, and one for all; those with trials running are shown first where not all fit."""
    names = list(view.strata)
    if lines is not None and len(names) + 2 > lines:
        names = sorted(names, key=lambda name: (not view.strata[name].running, float(name)))[: max(0, lines - 2)]
    chosen, hidden = [view.strata[name] for name in names], len(view.strata) - len(names)
    rows = [*map(_stratum_cells, chosen), _total_cells(view)]
    heads = {"trials": 0, "running": 3, "epochs": 2, "hypervolume": 0, "points": 5, "knee": 4}  # and when they give way
    first = Column("fraction", [*names, f"all ({hidden} not shown)" if hidden else "all"])
    others = [Column(head, [row[i] for row in rows], True, rank) for i, (head, rank) in enumerate(heads.items())]
    needed = sum(column.width + GAP for column in (first, *others) if column.rank <= BESIDE_BARS)
    width = min(max(paper.width - needed, BAR_WIDTHS[0]), BAR_WIDTHS[1])
    bars = [*(_bar(view, stratum, paper, width) for stratum in chosen), _total_bar(view, paper, width)]
    return grid(paper, [first, Column(" " * width, bars), *others])[:lines]


def _stratum_cells(stratum: StratumView) -> list[str]:
    front, share = stratum.front, stratum.share
    knee = front.get("knee")
    return [
        counted(stratum.ended, stratum.planned),
        str(stratum.running),
        str(stratum.epochs),
        f"{number(front.get('hypervolume', 0.0))} ({'-' if share is None else percent(share, 1.0)})",
        str(len(front.get("points", ()))),
        "" if knee is None else f"{knee['trial']}@{knee['epoch']}",
    ]


def _total_cells(view: LiveView) -> list[str]:
    ended = sum(stratum.ended for stratum in view.strata.values())
    running = sum(stratum.running for stratum in view.strata.values())
    return [counted(ended, view.asked.planned), str(running), str(view.epochs), "", "", ""]


def _bar(view: LiveView, stratum: StratumView, paper: Paper, width: int) -> Text:
    """Of its own plan; without one, of the stratum that has most trials."""
    whole = stratum.planned or max((one.started for one in view.strata.values()), default=0) or 1
    return bar(paper, stratum.ended / whole, stratum.started / whole, width, BAR_STYLES)


def _total_bar(view: LiveView, paper: Paper, width: int) -> Text:
    """Of the planned trials; without a plan, of the budget's limit that is used most."""
    ended = sum(stratum.ended for stratum in view.strata.values())
    if view.asked.planned:
        started = len(view.state.trials)
        return bar(paper, ended / view.asked.planned, started / view.asked.planned, width, BAR_STYLES)
    used = max((used / limit for _, limit, used in view.budget if limit), default=0.0)
    return bar(paper, used, used, width, BAR_STYLES)


def running(view: LiveView, paper: Paper, lines: int | None) -> list[Text]:
    """The trials that run, the longest first where not all fit."""
    trials = [trial for trial in view.state.trials if trial.outcome is None]
    room = len(trials) if lines is None else max(0, lines - 1)
    if len(trials) > room:
        trials = sorted(trials, key=lambda trial: -trial.epoch)[:room]
    most = view.asked.max_epochs
    columns = [
        Column("running", [trial.trial for trial in trials], style=STYLES["running"]),
        Column("fraction", [trial.stratum for trial in trials], True, 2),
        Column("method", [str(trial.config.get("method", "")) for trial in trials]),
        *_settings(trials),
        Column("epoch", [counted(trial.epoch, most) for trial in trials], True),
        *_metrics(view, [trial.metrics for trial in trials]),
        Column("since", [duration(view.since.get(trial.trial, 0.0)) for trial in trials], True, 6),
    ]
    return grid(paper, columns)


def _settings(trials: Sequence[TrialState]) -> list[Column]:
    """Hyper-parameters that any of the trials has."""
    found = []
    for i, (name, head) in enumerate(SETTINGS.items()):
        values = [trial.config.get(name) for trial in trials]
        if any(value is not None for value in values):
            found.append(Column(head, ["" if value is None else number(value) for value in values], True, 3 + i))
    return found


def _metrics(view: LiveView, metrics: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Both objectives, forget quality as the p-value that people read, and the utility's share of the target's."""
    names = [_PLAIN.get(axis.metric, axis.metric) for axis in view.asked.goals.before_audit.axes]
    more = [name for axis in names for name in COMPANIONS.get(axis, ())]
    columns = [Column(short_label(name), [number(one.get(name)) for one in metrics], True) for name in names]
    return columns + [Column(short_label(name), [number(one.get(name)) for one in metrics], True, 1) for name in more]


def fronts(view: LiveView, paper: Paper, lines: int | None) -> list[Text]:
    """The best points of every fraction's front, the knee marked, as many fronts side by side as fit."""
    known = {key: stratum.front for key, stratum in view.strata.items() if stratum.front.get("points")}
    if not known:
        return []
    beside = min(len(known), max(1, paper.width // FRONT_WIDTH))
    width = paper.width // beside
    groups = [list(known.items())[i : i + beside] for i in range(0, len(known), beside)]
    if lines is not None:
        groups = groups[: max(1, lines // 2)]
    drawn: list[Text] = []
    for i, group in enumerate(groups):
        rest = None if lines is None else (lines - len(drawn)) // (len(groups) - i)
        piece = Paper(width - (2 if beside > 1 else 0), None, paper.ascii_only)
        drawn += side_by_side([_front(view, key, front, piece, rest) for key, front in group], width)
    return drawn


def _front(view: LiveView, key: str, front: Mapping[str, Any], paper: Paper, lines: int | None) -> list[Text]:
    points, knee = front["points"], front["knee"]
    shown = ends_and_knee(points, knee, len(points) if lines is None else max(1, lines - 1))
    best = [point is knee or _place(point) == _place(knee) for point in shown]
    some = "" if len(shown) == len(points) else f" ({len(shown)} of {len(points)})"
    columns = [
        Column("", ["*" if one else " " for one in best], style="bold"),
        Column(f"front {key}{some}", [_place(point) for point in shown], style=["bold" if one else "" for one in best]),
        Column("method", [str(point["config"].get("method", "")) for point in shown]),
        Column("verdict", [verdict_of(point) for point in shown], rank=1),
        Column("lr", [number(point["config"].get("learning_rate")) for point in shown], True, 3),
        *_metrics(view, [point["metrics"] for point in shown]),
    ]
    return grid(paper, columns)


def ends_and_knee(
    points: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None, most: int
) -> list[Mapping[str, Any]]:
    """At most so many points of a front, in its order: the knee, the end that forgot most, the other end, and then
    what is nearest to the knee.
    """
    places = [_place(point) for point in points]
    middle = places.index(_place(knee)) if knee is not None and _place(knee) in places else 0
    near = sorted(range(len(points)), key=lambda i: abs(i - middle))
    chosen = list(dict.fromkeys([middle, len(points) - 1, 0, *near]))[:most] if points else []
    return [points[i] for i in sorted(chosen)]


def _place(point: Mapping[str, Any] | None) -> str:
    return "" if point is None else f"{point['trial']}@{point['epoch']}"


def ended(view: LiveView, paper: Paper, lines: int | None) -> list[Text]:
    """The trials that ended last, the newest first, and why."""
    by_name = {trial.trial: trial for trial in view.state.trials}
    room = len(view.ended_last) if lines is None else max(0, lines - 1)
    trials = [by_name[name] for name in view.ended_last[::-1][:room] if name in by_name]
    columns = [
        Column("ended", [trial.trial for trial in trials]),
        Column("fraction", [trial.stratum for trial in trials], True, 2),
        Column("method", [str(trial.config.get("method", "")) for trial in trials], rank=1),
        Column("epoch", [str(trial.epoch) for trial in trials], True),
        Column("how", [str(trial.outcome) for trial in trials], style=[STYLES[str(one.outcome)] for one in trials]),
        Column("why", [trial.reason or "" for trial in trials], stretch=True, style="dim"),
    ]
    return grid(paper, columns)


def cost(view: LiveView, paper: Paper) -> list[Text]:
    """What the slots' time went into, what stopping early has saved, and what is left of the budget."""
    work, told = view.cost.total, view.cost
    whole = told.slot_seconds
    lines: list[Text] = []
    if whole > 0:
        shares = {"train": work.train, "evaluate": work.evaluation, "start-up": work.startup, "idle": told.idle}
        parts = [(f"cost    {duration(whole)} of slots:", "")]
        parts += [(f"{name} {percent(part, whole)}", "") for name, part in shares.items()]
        parts.append((f"(wasted {percent(told.wasted_share, 1.0)})", ""))
        if told.gpus:
            parts.append((f"{told.gpu_seconds / HOUR:.3g} GPU-hours", ""))
        lines += flow(paper, parts, indent=8)
    if work.epochs_saved:
        counts = view.state.counts
        early = counts.get("pruned", 0) + counts.get("collapsed", 0)
        saved = f"{several(work.epochs_saved, 'epoch')} ({duration(work.seconds_saved)})"
        lines.append(paper.line(f"saved   {saved} not run by {several(early, 'trial')} stopped early"))
    if view.budget:
        limits = [f"{number(used)} of {number(limit)} {name.replace('_', ' ')}" for name, limit, used in view.budget]
        lines += flow(paper, [("budget", ""), *((limit, "") for limit in limits)], indent=8)
    return lines
