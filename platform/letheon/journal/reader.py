"""Reads a journal that somebody else writes, again and again, each row once. Never writes, and takes no lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from letheon.journal.journal import Row, parse_rows


class Follower:
    """`rows()` costs what was added since the last call, not what the journal has."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._rows: list[Row] = []
        self._size = 0
        self._file: tuple[int, int] | None = None
        self.begun = 0
        """How often the journal was read from its beginning."""

    def rows(self) -> list[Row]:
        """All whole rows so far, in order; the list is the follower's own, do not change it.

        A journal that is not there yet has none; one that was replaced by another (its file is a new one, or it is
        shorter) is read from its beginning. Raises JournalError where a line but the last is damaged.
        """
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._size:
                    self._begin((found.st_dev, found.st_ino))
                if found.st_size > self._size:
                    file.seek(self._size)
                    fresh, used = parse_rows(file.read(), len(self._rows), self.path)
                    self._rows = [*self._rows, *fresh]
                    self._size += used
        except FileNotFoundError:
            if self._file is not None:
                self._begin(None)
        return self._rows

    def _begin(self, file: tuple[int, int] | None) -> None:
        self._rows, self._size, self._file = [], 0, file
        self.begun += 1


class Fold(Protocol):
    """What grows with every row."""

    def take(self, row: Row) -> None: ...


F = TypeVar("F", bound=Fold)


class Folded(Generic[F]):
    """A fold that keeps up with a journal: it is given each row once, and is made anew when the journal is."""

    def __init__(self, path: str | os.PathLike[str], begin: Callable[[], F]) -> None:
        """`begin` makes the fold of no rows."""
        self._follower, self._begin = Follower(path), begin
        self._fold, self._begun, self._taken = begin(), 0, 0

    def now(self) -> F:
        """The fold of all rows so far. Raises JournalError where a line but the last is damaged."""
        rows = self._follower.rows()
        if self._follower.begun != self._begun:
            self._fold, self._begun, self._taken = self._begin(), self._follower.begun, 0
        for row in rows[self._taken :]:
            self._fold.take(row)
        self._taken = len(rows)
        return self._fold
