"""The hidden folder next to a pull's target that collects its files, so that an interrupted pull can continue.

`.NAME.partial/` holds a lock, and a folder per checkpoint named by its manifest's digest. That folder holds complete
files only, and the next pull of the same checkpoint continues from them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from letheon.checkpoints.manifest import Manifest, VerificationError, check_file
from letheon.common.errors import LetheonError
from trainables.storage.manifest import MANIFEST

_LOCK = "lock"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class PullInProgress(LetheonError):
    """Another process pulls to the same target, or the partial folder belongs to another user."""


def partial_path(to: Path) -> Path:
    """The partial folder of a pull to `to`."""
    return to.parent / f".{to.name}.partial"


@contextmanager
def partial_folder(to: Path, digest: str) -> Iterator[Path]:
    """The folder for the checkpoint `digest` (SHA-256 in hex), locked for this process within the block.

    It is removed when the block succeeds or raises VerificationError: nothing from a hostile store is kept. Any other
    error leaves it for the next pull. Raises PullInProgress.
    """
    base = partial_path(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(base)
    folder = base / digest
    try:
        _remove(base, keep=digest)
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        except VerificationError:
            _remove(base)
            raise
        _remove(base)
    finally:
        os.close(lock)


def remove_incomplete(folder: Path, manifest: Manifest) -> None:
    """Remove all but the manifest and those of its files that are complete and unchanged."""
    for path in folder.iterdir():
        if path.name not in (MANIFEST, "model"):  # a partial file of a killed process
            path.unlink()
    for path in sorted((folder / "model").rglob("*"), reverse=True):
        if stat.S_ISDIR(path.lstat().st_mode):
            with suppress(OSError):  # it is not empty
                path.rmdir()
        elif not _is_complete(path, path.relative_to(folder / "model").as_posix(), manifest):
            path.unlink()


def _is_complete(path: Path, name: str, manifest: Manifest) -> bool:
    entry = manifest.files.get(name)
    if entry is None or not stat.S_ISREG(path.lstat().st_mode):
        return False
    try:
        check_file(path, entry, name)
    except VerificationError:
        return False
    return True


def _lock(base: Path) -> int:
    """Take the lock and return its descriptor. Retries if the last holder removed the lock file meanwhile."""
    while True:
        with suppress(FileExistsError):
            base.mkdir(mode=0o700)
        found = base.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PullInProgress(f"{base}: not a folder of yours; remove it, or choose another target")
        try:
            file = os.open(base / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode("ascii", "replace") or "unknown"
            os.close(file)
            raise PullInProgress(
                f"{base}: process {holder} is pulling to the same folder; wait for it, or choose another target"
            ) from None
        with suppress(FileNotFoundError):
            if os.fstat(file).st_ino == (base / _LOCK).stat().st_ino:
                os.ftruncate(file, 0)
                os.pwrite(file, str(os.getpid()).encode(), 0)
                return file
        os.close(file)


def _remove(base: Path, keep: str | None = None) -> None:
    """Remove the checkpoint folders in `base` except `keep`; without `keep`, also the lock and `base` if empty."""
    for path in base.iterdir():
        if _DIGEST.fullmatch(path.name) and path.name != keep:
            shutil.rmtree(path)
    if keep is None:
        (base / _LOCK).unlink()
        with suppress(OSError):
            base.rmdir()
