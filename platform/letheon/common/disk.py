"""A disk that is full: recognised in whatever error it came as, and told apart from what is a trial's own fault.

Ray Tune hands on errors of others as texts in its own, so the chain of causes is looked at, and the disk itself.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from letheon.common.errors import LetheonError

FULL = (errno.ENOSPC, errno.EDQUOT)
LEAST_BYTES = 2**20
"""With less than that nothing works: a row, Tune's files and the records of an epoch need about as much."""


class DiskFull(LetheonError):
    """There is no room for what a sweep writes. It stops as it is: all that was recorded is there for `resume`."""

    exit_code = 3


def is_full(error: BaseException) -> bool:
    """Whether the error, or one that it came from, is a disk that has no room."""
    return any(isinstance(one, OSError) and one.errno in FULL for one in _chain(error))


def free_bytes(folder: Path) -> int:
    """What may still be written to the disk of `folder`, which need not be there yet."""
    disk = os.statvfs(next(place for place in (folder, *folder.parents) if place.exists()))
    return disk.f_bavail * disk.f_frsize


def require_room(folder: Path, reason: str) -> None:
    """Of a sweep's `folder`, before a trial counts as failed: it is not at fault where its next epoch finds no room.

    Raises DiskFull if the reason is a full disk, and the sweep's has less than the largest epoch until now.
    """
    if any(os.strerror(code) in reason for code in FULL):
        epochs = [_size(epoch) for epoch in folder.glob("trials/*/epoch-*")]
        if free_bytes(folder) < max([LEAST_BYTES, *epochs]):
            raise DiskFull(reason)


@contextmanager
def disk_of(folder: Path, name: str, root: Path) -> Iterator[None]:
    """The block writes to the `folder` of the sweep `name`. Raises DiskFull, with the way on, where it had no room."""
    try:
        yield
    except Exception as error:
        causes = list(_chain(error))
        told = next((one for one in causes if isinstance(one, DiskFull)), None)
        if told is None and not is_full(error) and free_bytes(folder) >= LEAST_BYTES:
            raise
        cause = told or next((one for one in causes if isinstance(one, OSError)), error)
        fix = f"make room and continue: letheon resume {name}{root_option(root)}"
        raise DiskFull(
            f"the disk of {_place(cause, folder)} is full ({cause}); nothing that was recorded is lost, {fix}"
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _place(cause: BaseException, folder: Path) -> Path:
    """The folder that is told: the sweep's, unless its disk has room and the error names another file."""
    file = cause.filename if isinstance(cause, OSError) else None
    return Path(file).parent if isinstance(file, str) and file and free_bytes(folder) >= LEAST_BYTES else folder


def root_option(root: Path) -> str:
    """What a command must be given to find this absolute root: ` --root …`, or nothing."""
    return "" if root == Path(".letheon").resolve() else f" --root {shlex.quote(str(root))}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
