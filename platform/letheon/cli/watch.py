"""`letheon status --watch`: looks at the journal once a second until the sweep is over."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.cli.output import print_json
from letheon.cli.tables import status_line
from letheon.records import SweepState, status_of
from letheon.records.state import ACTIVE
from letheon.shown import DEFAULT

if TYPE_CHECKING:
    from rich.console import Console

_PERIOD_SECONDS = 1.0


def watch_status(
    folder: Path, console: Console, trials: int | None, as_json: bool, objectives: Mapping[str, str] = DEFAULT
) -> None:
    """A live table on a terminal; elsewhere, or as JSON, the state whenever something has happened."""
    if as_json or not console.is_terminal:
        _print_changes(folder, console, as_json)
        return
    from rich.live import Live

    from letheon.progress import table

    with Live(console=console, auto_refresh=False) as live:
        state = status_of(folder)
        while True:
            live.update(table(state, trials, state.seconds, objectives), refresh=True)
            if state.state not in ACTIVE:
                return
            time.sleep(_PERIOD_SECONDS)
            state = status_of(folder)


def _print_changes(folder: Path, console: Console, as_json: bool) -> None:
    told = None
    while True:
        state = status_of(folder)
        if _key(state) != told:
            told = _key(state)
            if as_json:
                print_json(state.to_json(), indent=None)
            else:
                console.print(status_line(state), soft_wrap=True)
        if state.state not in ACTIVE:
            return
        time.sleep(_PERIOD_SECONDS)


def _key(state: SweepState) -> str:
    """All but the clock."""
    return json.dumps({**state.to_json(), "seconds": None})
