"""The folder in which a pull gathers files until they are all there: hidden beside the target, kept when it breaks off.

`.NAME.partial/` has a lock, and per checkpoint a folder named by the digest of its manifest. Whole files only are in
there, so the next pull of the same checkpoint goes on from them. Knows no store.
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
_OURS = re.compile(r"[0-9a-f]{64}")


class PullInProgress(LetheonError):
    """Another process pulls to the same place, or something that is not ours is in the way."""


def partial_path(to: Path) -> Path:
    """Where a pull to this folder gathers its files."""
    return to.parent / f".{to.name}.partial"


@contextmanager
def partial_folder(to: Path, digest: str) -> Iterator[Path]:
    """This process's alone until the end of the block: the folder of the checkpoint `digest` (SHA-256 in hex).

    It is removed when the block ends well, or with VerificationError: nothing of a store that lies is kept. Any other
    error leaves it for the next time. Raises PullInProgress.
    """
    base = partial_path(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    lock = _take(base)
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
    """Remove from `folder` all but the manifest and those of its files that are whole and unchanged."""
    for path in folder.iterdir():
        if path.name not in (MANIFEST, "model"):  # what was half there when the process was killed
            path.unlink()
    for path in sorted((folder / "model").rglob("*"), reverse=True):
        if stat.S_ISDIR(path.lstat().st_mode):
            with suppress(OSError):  # an empty one only
                path.rmdir()
        elif not _whole(path, path.relative_to(folder / "model").as_posix(), manifest):
            path.unlink()


def _whole(path: Path, name: str, manifest: Manifest) -> bool:
    entry = manifest.files.get(name)
    if entry is None or not stat.S_ISREG(path.lstat().st_mode):
        return False
    try:
        check_file(path, entry, name)
    except VerificationError:
        return False
    return True


def _take(base: Path) -> int:
    """The lock's descriptor. A lock that its holder has removed in the meantime is none: try again."""
    while True:
        with suppress(FileExistsError):
            base.mkdir(mode=0o700)
        found = base.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PullInProgress(f"{base}: is not a folder of yours; remove it, or choose another target")
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
                f"{base}: process {holder} is pulling to the same folder; wait for its end, or choose another target"
            ) from None
        with suppress(FileNotFoundError):
            if os.fstat(file).st_ino == (base / _LOCK).stat().st_ino:
                os.ftruncate(file, 0)
                os.pwrite(file, str(os.getpid()).encode(), 0)
                return file
        os.close(file)


def _remove(base: Path, keep: str | None = None) -> None:
    """What pulls have left in `base`, and itself if nothing is to be kept; what is not ours stays."""
    for path in base.iterdir():
        if _OURS.fullmatch(path.name) and path.name != keep:
            shutil.rmtree(path)
    if keep is None:
        (base / _LOCK).unlink()
        with suppress(OSError):
            base.rmdir()
