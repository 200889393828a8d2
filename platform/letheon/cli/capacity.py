"""The table of `letheon capacity`: one line per method, one column per forget fraction."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from letheon.analysis.capacity import Reach, capacities
from letheon.cli.tables import plain_table


def capacity_head(utility_kept: float) -> str:
    """What stands above the table."""
    return (
        f"best forget quality p of checkpoints that keep {utility_kept:.0%} of the utility; "
        "yes: its verdict is forgotten"
    )


def capacity_table(found: Sequence[Reach]) -> Table:
    """Best forget quality p per method and fraction; `-` where no checkpoint keeps the utility."""
    fractions = sorted({reach.fraction for reach in found})
    table = plain_table("method", *(f"{fraction:g}" for fraction in fractions), "capacity", right=True)
    by_place = {(reach.method, reach.fraction): reach for reach in found}
    for method, largest in capacities(found).items():
        cells = [_cell(by_place.get((method, fraction))) for fraction in fractions]
        table.add_row(method, *cells, f"{largest:g}" if largest else "none")
    return table


def _cell(reach: Reach | None) -> Text:
    """The p-value, and in a word whether that is forgotten: not every terminal shows bold type."""
    if reach is None:
        return Text()
    if reach.forget_quality is None:
        return Text("-")
    text = f"{reach.forget_quality:.2g}"
    return Text(f"{text} yes", style="bold") if reach.forgotten else Text(f"{text}  no")
