"""Recognises a full disk behind other errors, and separates it from failures that are a trial's own.

Ray Tune passes errors on as text inside its own errors, so this looks at the chain of causes and at the disk itself.
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
"""With less than this nothing works: a row, Tune's files and the records of an epoch need about as much."""


class DiskFull(LetheonError):
    """No space left for what a sweep writes. The sweep stops; all that it recorded is there for `resume`."""

    exit_code = 3


def is_full(error: BaseException) -> bool:
    """Whether the error, or one of its causes, is a full disk."""
    return any(isinstance(one, OSError) and one.errno in FULL for one in _chain(error))


def free_bytes(folder: Path) -> int:
    """Free space on the disk of `folder`, which need not exist yet."""
    disk = os.statvfs(next(place for place in (folder, *folder.parents) if place.exists()))
    return disk.f_bavail * disk.f_frsize


def raise_if_disk_full(folder: Path, reason: str) -> None:
    """Call before a trial of the sweep in `folder` counts as failed for `reason`: a full disk is not its fault.

    Raises DiskFull if the reason is a full disk, and the sweep's disk has less room than its largest epoch so far took.
    """
    if any(os.strerror(code) in reason for code in FULL):
        epochs = [_size(epoch) for epoch in folder.glob("trials/*/epoch-*")]
        if free_bytes(folder) < max([LEAST_BYTES, *epochs]):
            raise DiskFull(reason)


@contextmanager
def explain_full_disk(folder: Path, name: str, root: Path) -> Iterator[None]:
    """Around a block that writes to the `folder` of the sweep `name`. Raises DiskFull, with the fix, if its disk filled
    up."""
    try:
        yield
    except Exception as error:
        causes = list(_chain(error))
        known = next((one for one in causes if isinstance(one, DiskFull)), None)
        if known is None and not is_full(error) and free_bytes(folder) >= LEAST_BYTES:
            raise
        cause = known or next((one for one in causes if isinstance(one, OSError)), error)
        fix = f"make room and continue: letheon resume {name}{root_option(root)}"
        raise DiskFull(
            f"the disk of {_place(cause, folder)} is full ({cause}); nothing that was recorded is lost, {fix}"
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _place(cause: BaseException, folder: Path) -> Path:
    """The folder to report: the sweep's, unless its disk has room and the error names another file."""
    file = cause.filename if isinstance(cause, OSError) else None
    return Path(file).parent if isinstance(file, str) and file and free_bytes(folder) >= LEAST_BYTES else folder


def root_option(root: Path) -> str:
    """The option that a command needs to find this absolute root: ` --root …`, or nothing for the default."""
    return "" if root == Path(".letheon").resolve() else f" --root {shlex.quote(str(root))}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
