"""The table of `letheon capacity`: a line a method, a column a forget fraction."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from letheon.method_capacity import FORGOTTEN, Reach, capacities


def capacity_table(found: Sequence[Reach], utility_kept: float) -> Table:
    """Best forget quality p per method and fraction; `-` where no checkpoint keeps the utility."""
    fractions = sorted({reach.fraction for reach in found})
    title = f"best forget quality p at >= {utility_kept:.0%} of the utility; forgotten: p > {FORGOTTEN:g}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("method")
    for fraction in fractions:
        table.add_column(f"{fraction:g}", justify="right")
    table.add_column("capacity", justify="right")
    by_place = {(reach.method, reach.fraction): reach for reach in found}
    for method, largest in capacities(found).items():
        cells = [_cell(by_place.get((method, fraction))) for fraction in fractions]
        table.add_row(method, *cells, f"{largest:g}" if largest else "none")
    return table


def _cell(reach: Reach | None) -> str:
    if reach is None:
        return ""
    if reach.forget_quality is None:
        return "-"
    text = f"{reach.forget_quality:.2g}"
    return f"[bold]{text}[/bold]" if reach.forgotten else text
