"""Folders that are there whole or not at all: made under another name, renamed when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainables.storage.manifest import list_files, write_json

MARKER = "prepared.json"


def is_finished(folder: Path) -> bool:
    """Whether the folder was made to its end."""
    return (folder / MARKER).exists()


@contextmanager
def finished_folder(folder: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """A partial folder that gets its name when the block ends well; `facts` and the files' digests are its marker."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    write_json(partial / MARKER, {**facts, "files": list_files(partial)})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
