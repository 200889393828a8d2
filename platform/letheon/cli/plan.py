"""What `letheon plan` prints, from a finished plan."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.table import Table

from letheon.api.plan import SHOWN_TRIALS, more_trials, plan_facts, searched_names
from letheon.cli.output import MAX_WIDTH
from letheon.cli.tables import plain_table
from letheon.common.counting import words
from letheon.common.numbers import short

if TYPE_CHECKING:
    from letheon.sweep.plan import Plan


def plan_table(plan: Plan) -> Table:
    """The first trials, with the hyper-parameters that the file searches."""
    names = searched_names(plan)
    table = plain_table("trial", *(words(name) for name in names))
    for trial in plan.trials[:SHOWN_TRIALS]:
        table.add_row(trial["trial"], *(short(trial["config"].get(name)) for name in names))
    return table


def plan_lines(plan: Plan) -> Iterator[str]:
    """The rest of a plan, below its trials."""
    yield from more_trials(plan, "--json")
    yield ""
    for label, text in plan_facts(plan):
        yield from wrap(f"{label:<12}{text}", MAX_WIDTH, subsequent_indent=" " * 12, break_on_hyphens=False)
