"""Files whose SHA-256 is computed while they are written, so that nothing is read again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

WEIGHTS = "weights"
"""Folder in a state with the files that it shares with the model folder."""

_LARGE = 1 << 20  # bytes above which hashing beside the write pays for the hand-over


class HashingFile:
    """A binary file for writing, front to back. Large blocks are hashed while they are written."""

    def __init__(self, path: Path) -> None:
        self._file, self._hash, self._thread = path.open("wb"), hashlib.sha256(), ThreadPoolExecutor(1)
        self._bytes = 0

    def write(self, block: Any) -> int:
        """Write a bytes-like object. Returns its length in bytes."""
        view = memoryview(block).cast("B")
        if len(view) < _LARGE:
            self._hash.update(view)
            self._file.write(view)
        else:
            hashed = self._thread.submit(self._hash.update, view)
            self._file.write(view)
            hashed.result()
        self._bytes += len(view)
        return len(view)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._thread.shutdown()
        self._file.close()

    def entry(self) -> dict[str, Any]:
        """`{"sha256": hex, "bytes": n}` of what was written, as in `manifest.list_files`."""
        return {"sha256": self._hash.hexdigest(), "bytes": self._bytes}


@contextmanager
def hashing_file(path: Path, entries: dict[str, dict[str, Any]], name: str) -> Iterator[IO[bytes]]:
    """A file to write, front to back; afterwards `entries[name]` has its digest and size."""
    file = HashingFile(path)
    try:
        yield cast("IO[bytes]", file)  # all of it that writers such as torch.save call
    finally:
        file.close()
    entries[name] = file.entry()


def link_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Make `target/name` the same file as `source/name`, which needs no space; a copy if the disk has no hard links."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            os.link(source / name, target / name)
        except OSError:
            shutil.copyfile(source / name, target / name)
