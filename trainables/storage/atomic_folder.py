"""Folders that are complete or absent: written under another name and renamed when complete."""

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
    """Whether the folder has been written completely."""
    return (folder / MARKER).exists()


@contextmanager
def atomic_folder(folder: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """A partial folder that is renamed to `folder` if the block succeeds. Its marker file holds `facts` and the
    digests of the other files.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    write_json(partial / MARKER, {**facts, "files": list_files(partial)})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
