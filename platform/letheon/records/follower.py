"""Reads a journal that somebody else writes, again and again, each row once. Never writes, and takes no lock."""

from __future__ import annotations

import os
from pathlib import Path

from letheon.records.journal import Row, parse_rows


class Follower:
    """`rows()` costs what was added since the last call, not what the journal has."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._rows: list[Row] = []
        self._size = 0
        self._file: tuple[int, int] | None = None

    def rows(self) -> list[Row]:
        """All whole rows so far, in order; the list is the follower's own, do not change it.

        A journal that is not there yet has none; one that was replaced by another (its file is a new one, or it is
        shorter) is read from its beginning. Raises JournalError where a line but the last is damaged.
        """
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._size:
                    self._rows, self._size, self._file = [], 0, (found.st_dev, found.st_ino)
                if found.st_size > self._size:
                    file.seek(self._size)
                    fresh, used = parse_rows(file.read(), len(self._rows), self.path)
                    self._rows = [*self._rows, *fresh]
                    self._size += used
        except FileNotFoundError:
            self._rows, self._size, self._file = [], 0, None
        return self._rows
