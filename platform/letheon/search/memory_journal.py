"""A journal in memory, for simulations: its clock is set by the caller, and it can fail after any row."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from letheon.journal import Row


class Killed(Exception):
    """The simulated driver died after writing a row."""


class StopSimulation(Exception):
    """`stop_when` holds."""


class MemoryJournal:
    """`kills`: numbers of the rows (from 1) after which the driver dies. `stop_when`: tested on every row."""

    def __init__(self, kills: Iterable[int] = (), stop_when: Callable[[Row], bool] | None = None) -> None:
        self.rows: list[Row] = []
        self.time = 0.0
        self._kills = set(kills)
        self._stop_when = stop_when

    def now(self) -> float:
        return self.time

    def append(self, kind: str, **fields: object) -> Row:
        """Add a row. Raises Killed if the driver dies after it, and StopSimulation if `stop_when` holds for it."""
        row: Row = {"kind": kind, "seq": len(self.rows) + 1, "time": self.time, **fields}
        self.rows.append(row)
        if row["seq"] in self._kills:
            raise Killed
        if self._stop_when is not None and self._stop_when(row):
            raise StopSimulation
        return row
