"""A journal in memory with a clock that is set from outside, and that can fall dead after any row."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from letheon.journal import Row


class Killed(Exception):
    """The driver died right after a row was written."""


class Enough(Exception):
    """Who watches the rows has seen what it waited for."""


class MemoryJournal:
    """`kills`: numbers of the rows (from 1) after which the driver dies. `enough`: asked about every row."""

    def __init__(self, kills: Iterable[int] = (), enough: Callable[[Row], bool] | None = None) -> None:
        self.rows: list[Row] = []
        self.time = 0.0
        self._kills = set(kills)
        self._enough = enough

    def now(self) -> float:
        return self.time

    def append(self, kind: str, **fields: object) -> Row:
        """Raises Killed after the row was written, where a kill is due, and Enough where it is."""
        row: Row = {"kind": kind, "seq": len(self.rows) + 1, "time": self.time, **fields}
        self.rows.append(row)
        if row["seq"] in self._kills:
            raise Killed
        if self._enough is not None and self._enough(row):
            raise Enough
        return row
