"""Watches for planted secrets while a command runs, in command lines and in every file below some folders.

It opens each file that it sees, so it can still read a file that the command removes at its end.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

PERIOD_SECONDS = 0.25


def forms(secrets: Mapping[str, str]) -> dict[str, re.Pattern[bytes]]:
    """Name -> the secret as it may be written: plain, in an address, in JSON, or as base64 behind any user's name."""
    found = {}
    for name, secret in secrets.items():
        written = {secret, quote(secret, safe=""), quote(secret), secret.replace("/", "\\/")}
        for shift in range(3):  # base64 reads three bytes at once, so the form depends on what precedes the secret
            text = base64.b64encode(b"x" * shift + secret.encode()).decode()
            written.add(text[4 * bool(shift) : len(text) // 4 * 4 - 4])
        found[name] = re.compile(b"|".join(re.escape(one.encode()) for one in written))
    return found


class Witness:
    """Watches within a `with` block. `folders`: absolute paths or glob patterns, scanned repeatedly. `allowed`: names
    of files that may have a secret."""

    def __init__(self, secrets: Mapping[str, str], folders: Iterable[Path], allowed: Iterable[str] = ()) -> None:
        self._forms, self._folders, self._allowed = forms(secrets), list(folders), frozenset(allowed)
        self._files: dict[tuple[int, int], tuple[str, int]] = {}
        self._lines: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    @property
    def seen(self) -> list[str]:
        """Paths of all files that were seen."""
        return sorted(path for path, _ in self._files.values())

    def lines(self) -> int:
        """How many different command lines were seen."""
        return len(self._lines)

    def found(self) -> list[str]:
        """`where: which secret`, for every place."""
        found = {f"command line {line[:60]!r}: {name}" for line in self._lines for name in self.names(line)}
        for path, handle in self._files.values():
            with open(handle, "rb", closefd=False) as file:
                file.seek(0)
                found |= {f"{path}: {name}" for name in self.names(file.read())}
        return sorted(found)

    def names(self, data: bytes) -> list[str]:
        """The names of the secrets in it."""
        return [name for name, form in self._forms.items() if form.search(data)]

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            self._look()

    def _look(self) -> None:
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                self._lines.add(file.read_bytes())
        for path in self._paths():
            with suppress(OSError):  # deleted meanwhile
                status = path.lstat()
                known = (status.st_dev, status.st_ino)
                if known not in self._files and path.is_file() and path.name not in self._allowed:
                    self._files[known] = (str(path), os.open(path, os.O_RDONLY))

    def _paths(self) -> Iterator[Path]:
        for folder in self._folders:
            for place in folder.parent.glob(folder.name):
                for parent, _, names in os.walk(place):
                    yield from (Path(parent, name) for name in names)
