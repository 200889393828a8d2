"""Follows a journal that another process writes, reading each row once. Never writes, and takes no lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from letheon.journal.journal import Row, parse_rows


class Follower:
    """`rows()` reads only what was added since the last call."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._rows: list[Row] = []
        self._size = 0
        self._file: tuple[int, int] | None = None
        self.restarts = 0
        """How often it began to read at the start of a file."""

    def rows(self) -> list[Row]:
        """All whole rows so far, in order; do not change the list. Empty while the journal does not exist.

        A journal that was replaced (a new file, or a shorter one) is read from its start. Raises JournalError if a line
        before the last is damaged.
        """
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._size:
                    self._restart((found.st_dev, found.st_ino))
                if found.st_size > self._size:
                    file.seek(self._size)
                    fresh, used = parse_rows(file.read(), len(self._rows), self.path)
                    self._rows = [*self._rows, *fresh]
                    self._size += used
        except FileNotFoundError:
            if self._file is not None:
                self._restart(None)
        return self._rows

    def _restart(self, file: tuple[int, int] | None) -> None:
        self._rows, self._size, self._file = [], 0, file
        self.restarts += 1


class Fold(Protocol):
    """An object that takes rows one by one."""

    def take(self, row: Row) -> None: ...


F = TypeVar("F", bound=Fold)


class Folded(Generic[F]):
    """A fold that follows a journal: it takes each row once, and starts over if the journal is replaced."""

    def __init__(self, path: str | os.PathLike[str], new: Callable[[], F]) -> None:
        """`new` makes an empty fold."""
        self._follower, self._new = Follower(path), new
        self._fold, self._restarts, self._taken = new(), 0, 0

    def current(self) -> F:
        """The fold of all rows so far. Raises JournalError if a line before the last is damaged."""
        rows = self._follower.rows()
        if self._follower.restarts != self._restarts:
            self._fold, self._restarts, self._taken = self._new(), self._follower.restarts, 0
        for row in rows[self._taken :]:
            self._fold.take(row)
        self._taken = len(rows)
        return self._fold
