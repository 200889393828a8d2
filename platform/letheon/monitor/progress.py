"""What a person sees while a sweep runs: one live picture on a terminal, plain lines elsewhere. Reads the journal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from letheon.journal import Row
from letheon.monitor.screen import Screen
from letheon.monitor.watch import LiveSweep, asked_of
from letheon.pareto.labels import DEFAULT, label
from letheon.spec.model import SweepSpec

Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


@contextmanager
def progress(console: Console, folder: Path, spec: SweepSpec) -> Iterator[tuple[Show, Say]]:
    """`show` takes all journal rows so far, `say` a line of text; both may be called from any thread.

    `folder`: the sweep's, which may not be there yet.
    """
    if not console.is_terminal:
        yield (
            PlainLines(console, spec.objectives),
            lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        )
        return
    sweep = LiveSweep(folder, asked_of(spec))
    with Live(console=console, refresh_per_second=1, transient=True) as live:

        def show(rows: Sequence[Row]) -> None:
            live.update(Screen(sweep.look()))

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
