"""What a person sees while a sweep runs: a live table on a terminal, plain lines elsewhere. Reads journal rows only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from letheon.records import Row, summary
from letheon.records.state import SweepState, TrialState
from letheon.shown import DEFAULT, label, short_label

SHOWN_TRIALS = 24
STYLES = {
    "running": "cyan",
    "completed": "green",
    "pruned": "yellow",
    "stopped": "yellow",
    "collapsed": "red",
    "failed": "bold red",
}

_PLAIN = {"log10_forget_quality": "forget_quality", "log10_loss_quality": "loss_quality"}  # people read p-values
Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


@contextmanager
def progress(
    console: Console, trials: int | None, objectives: Mapping[str, str] = DEFAULT
) -> Iterator[tuple[Show, Say]]:
    """`show` takes all journal rows so far, `say` a line of text; both may be called from any thread."""
    if not console.is_terminal:
        yield (
            PlainLines(console, objectives),
            lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        )
        return
    started = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def show(rows: Sequence[Row]) -> None:
            live.update(table(summary(rows), trials, time.monotonic() - started, objectives))

        yield show, lambda text: console.print(text, highlight=False, markup=False)


class PlainLines:
    """One line for each report and each end, for logs and pipes."""

    def __init__(self, console: Console, objectives: Mapping[str, str] = DEFAULT) -> None:
        self._console, self._objectives = console, objectives
        self._shown: int | None = None

    def __call__(self, rows: Sequence[Row]) -> None:
        # A resumed sweep begins with what happened before: that was shown then.
        start = len(rows) if self._shown is None and len(rows) > 1 else self._shown or 0
        for row in rows[start:]:
            text = line(row, self._objectives)
            if text:
                self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._shown = len(rows)


def line(row: Row, objectives: Mapping[str, str] = DEFAULT) -> str | None:
    """A journal row as a line of text; None for what a reader of a log does not need."""
    match row["kind"]:
        case "report":
            return f"{row['trial']} epoch {row['epoch']}: {in_words(row['metrics'], objectives)}"
        case "trial":
            return f"{row['trial']} starts: {settings(row['config'])}"
        case "end":
            return f"{row['trial']} {row['outcome']}: {row['reason']}"
    return None


def in_words(metrics: Mapping[str, Any], objectives: Mapping[str, str] = DEFAULT) -> str:
    """`utility 0.91 (1.00 of the target's), forget quality p = 0.12`; of other objectives their names and values."""
    words = {
        "model_utility": f"utility {_of(metrics, 'model_utility')} ({_of(metrics, 'utility_ratio')} of the target's)",
        "log10_forget_quality": f"forget quality p = {_of(metrics, 'forget_quality')}",
        "log10_loss_quality": f"loss quality p = {_of(metrics, 'loss_quality')}",
    }
    return ", ".join(words.get(name) or f"{label(name)} {_of(metrics, name)}" for name in reversed(list(objectives)))


def _of(metrics: Mapping[str, Any], name: str) -> str:
    return number(metrics.get(name))


def settings(config: Mapping[str, Any]) -> str:
    """`npo_rt  forget 0.1  lr 3e-4  beta 0.05  retain 1.5`."""
    names = {"forget_fraction": "forget", "learning_rate": "lr", "beta": "beta", "retain_weight": "retain"}
    parts = [f"{short} {number(config[name])}" for name, short in names.items() if config.get(name) is not None]
    return "  ".join([str(config.get("method", "")), *parts])


def number(value: Any) -> str:
    """Three significant digits; `nan` for what is missing or is no number."""
    return f"{value:.3g}" if isinstance(value, int | float) and math.isfinite(value) else "nan"


def table(
    state: SweepState, trials: int | None, seconds: float, objectives: Mapping[str, str] = DEFAULT
) -> RenderableType:
    """The trials by number, running ones always among them."""
    counts = ", ".join(f"{count} {word}" for word, count in sorted(state.counts.items()))
    head = Text(f"{state.state}  {int(seconds)} s  {_of_all(len(state.trials), trials)}  {counts}", style="bold")
    if not state.trials:
        return head
    grid = Table(box=None, pad_edge=False, header_style="dim")
    metrics = [_PLAIN.get(name, name) for name in reversed(list(objectives))]
    heads = [short_label(name) for name in metrics]
    for column in ("trial", "forget", "method", "lr", "beta", "retain", "epoch", *heads, "state"):
        grid.add_column(column, justify="left" if column in ("trial", "method", "state") else "right")
    ended = [trial for trial in state.trials if trial.outcome]
    running = [trial for trial in state.trials if not trial.outcome]
    shown = ended[-max(0, SHOWN_TRIALS - len(running)) :] + running
    for trial in sorted(shown, key=lambda trial: trial.trial):
        grid.add_row(*_cells(trial, metrics))
    return Group(head, grid)


def _of_all(count: int, most: int | None) -> str:
    return f"{count} trials" if most is None else f"{count} of {most} trials"


def _cells(trial: TrialState, metrics: Sequence[str]) -> list[str | Text]:
    def optional(name: str) -> str:
        return "" if trial.config.get(name) is None else number(trial.config[name])

    word = trial.outcome or trial.state
    return [
        trial.trial,
        trial.stratum,
        str(trial.config["method"]),
        optional("learning_rate"),
        optional("beta"),
        optional("retain_weight"),
        str(trial.epoch),
        *(number(trial.metrics.get(name)) for name in metrics),
        Text(word, style=STYLES.get(word, "")),
    ]
