"""Shows a run while somebody waits for it: in place in a notebook and on a terminal, else as lines."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console

from letheon.dashboard.snapshot import SweepSnapshot
from letheon.monitor.progress import PlainLines, progress

Show = Callable[[SweepSnapshot], None]


class Watched(Protocol):
    """What is needed of a run."""

    folder: Path | None

    def snapshot(self) -> SweepSnapshot:
        """The sweep now."""


@contextmanager
def shown(run: Watched) -> Iterator[Show]:
    """Yield a function that shows the run's newest state; to be called about every second."""
    console = Console(highlight=False, markup=False)
    if console.is_jupyter:
        yield _in_notebook(run)
        return
    first = run.snapshot()
    if run.folder is None or first.spec is None or isinstance(first.spec.trial.gpus_per_worker, str):
        lines = PlainLines(console, {axis.metric: axis.better for axis in first.goals.axes})
        yield lambda snapshot: lines(snapshot.rows)
        return
    with progress(console, run.folder, first.spec) as (show, _):
        yield lambda snapshot: show(snapshot.rows)


def _in_notebook(run: Watched) -> Show:
    """One output that is drawn again in place: the run itself, which has `_repr_html_`."""
    display = importlib.import_module("IPython.display").display  # a notebook has it; nothing else needs it
    output = display(run, display_id=True)
    return lambda _: output.update(run)
