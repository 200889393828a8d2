"""Temporary folders named after their process, so that what a killed process left is found and removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "letheon-"


def make(purpose: str = "") -> Path:
    """A new folder, mode 0700, that stays until it is removed. The path is short, since sockets may lie below it."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{purpose}"))


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A folder that exists during the block. `purpose`: a word in its name that says what it is for."""
    folder = make(f"{purpose}-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale() -> None:
    """Remove the folders of this user's processes that no longer exist."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and path.lstat().st_uid == os.getuid():
            path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
