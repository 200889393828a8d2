"""The SHA-256 manifest of a model folder, written by the trial: read and checked before anything of the folder is used.

Layout of a front checkpoint: `<trial>/epoch-003/model/` (a Hugging Face folder) with `manifest.json` beside `model/`.
A folder is trusted only as far as its manifest, and the manifest only as far as its own digest. Knows no MLflow.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from letheon.common.errors import LetheonError
from trainables.storage.manifest import MANIFEST, sha256

MAX_MANIFEST_BYTES = 16 * 2**20
_MAX_NAME = 200
_MAX_DEPTH = 6
_MAX_FILES = 2_000
_MAX_BYTES = 2**44
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What a model folder is made of. Neither pickles (they run code when loaded) nor Python files are among them.
_SUFFIXES = {".safetensors", ".json", ".txt", ".model", ".jinja", ".md"}


class VerificationError(LetheonError):
    """A checkpoint is not what its manifest says, or holds what no checkpoint may hold."""

    exit_code = 5


@dataclass(frozen=True)
class Entry:
    """One file: SHA-256 in hex, and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The files of a model folder (path relative to it -> entry), whose they are, and the manifest's own SHA-256."""

    files: Mapping[str, Entry]
    trial: str
    epoch: int
    metrics: Mapping[str, float | None]
    digest: str

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.bytes for entry in self.files.values())


def is_digest(text: str) -> bool:
    """Whether this is a SHA-256 in hex."""
    return _SHA256.fullmatch(text) is not None


def read_manifest(path: Path) -> Manifest:
    """The manifest in this file. Raises VerificationError if it is missing, malformed or names a refused path."""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise VerificationError(f"{path}: a manifest has at most {MAX_MANIFEST_BYTES} bytes")
        return parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        raise VerificationError(f"{path}: the manifest cannot be read ({error.strerror or error})") from error


def parse_manifest(data: bytes, where: str) -> Manifest:
    """A manifest from its bytes. Every name and digest is checked here, so the rest may trust them."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise VerificationError(f"{where}: a manifest has at most {MAX_MANIFEST_BYTES} bytes")
    try:
        raw = json.loads(data, object_pairs_hook=_once)
        files = {str(name): _entry(entry) for name, entry in raw["files"].items()}
        trial, epoch, metrics = str(raw["trial"]), int(raw["epoch"]), dict(raw["metrics"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        told = f"{type(error).__name__}: {error}"[:_MAX_NAME]
        raise VerificationError(f"{where}: this is not a manifest ({told})") from error
    _check_files(files, where)
    return Manifest(files, trial, epoch, metrics, hashlib.sha256(data).hexdigest())


def _entry(raw: Any) -> Entry:
    if type(raw["bytes"]) is not int:  # a float or a text would be read differently elsewhere
        raise TypeError("a size must be a whole number")
    return Entry(str(raw["sha256"]), raw["bytes"])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two values of one name another reader could take the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _check_files(files: Mapping[str, Entry], where: str) -> None:
    """Every name and entry by itself, and that the names are different files on any file system."""
    if not 0 < len(files) <= _MAX_FILES:
        raise VerificationError(f"{where}: it names {len(files) or 'no'} files, a model has 1 to {_MAX_FILES}")
    folded: dict[str, str] = {}
    for name, entry in files.items():
        check_name(name)
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            raise VerificationError(f"{where}: {twin!r} and {name!r} are one file on some file systems")
        if not is_digest(entry.sha256) or not 0 <= entry.bytes <= _MAX_BYTES:
            raise VerificationError(f"{where}: {name!r} has no valid SHA-256 and size")
    for name in files:
        for folder in PurePosixPath(name.casefold()).parents:
            if str(folder) in folded:
                raise VerificationError(f"{where}: {folded[str(folder)]!r} is a file and the folder of {name!r}")


def check_name(name: str) -> None:
    """Refuse any path that could leave the folder, hide in it, or be code. Raises VerificationError."""
    path = PurePosixPath(name)
    if (
        len(name) > _MAX_NAME
        or name.count("/") > _MAX_DEPTH
        or not all(_PART.fullmatch(part) for part in name.split("/"))
    ):
        raise VerificationError(
            f"file name {repr(name)[:_MAX_NAME]}: must be a relative path of letters, digits, _ . + - and /, "
            "without .. ; the store may have been tampered with"
        )
    if path.suffix not in _SUFFIXES:
        raise VerificationError(
            f"file {name!r}: a model folder may hold {', '.join(sorted(_SUFFIXES))} only (pickles and code are refused)"
        )
    if name == MANIFEST:
        raise VerificationError(f"file {name!r}: a manifest does not name itself")


def verify(folder: Path, manifest: Manifest) -> None:
    """Raise VerificationError unless `folder` holds exactly the manifest's files, unchanged (and a `manifest.json`)."""
    found = dict(_walk(folder))
    check_names(set(found), manifest, str(folder))
    for name, entry in manifest.files.items():
        check_file(found[name], entry, str(folder / name))
        if name.endswith(".safetensors"):
            _check_header(found[name])


def check_file(path: Path, entry: Entry, name: str) -> None:
    """Raise VerificationError, which calls the file `name`, unless it is the one that the manifest means."""
    size = path.stat().st_size
    if size != entry.bytes:
        raise VerificationError(f"{name}: has {size} bytes, the manifest says {entry.bytes}")
    if sha256(path) != entry.sha256:
        raise VerificationError(f"{name}: its SHA-256 is not the manifest's; it was changed or damaged")


def check_names(found: set[str], manifest: Manifest, where: str) -> None:
    """Raise VerificationError for files too many or too few."""
    extra, missing = sorted(found - set(manifest.files)), sorted(set(manifest.files) - found)
    if extra:
        raise VerificationError(f"{where}: {extra[0]!r} is not in the manifest")
    if missing:
        raise VerificationError(f"{where}: {missing[0]!r} is in the manifest but missing")


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Regular files below `folder` by relative name. A link, device or refused name raises VerificationError."""
    if folder.is_symlink():
        raise VerificationError(f"{folder}: a symbolic link is not followed")
    if not folder.is_dir():
        raise VerificationError(f"{folder}: there is no such folder")
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if stat.S_ISDIR(mode) or (name == MANIFEST and stat.S_ISREG(mode)):
            continue
        if not stat.S_ISREG(mode):
            raise VerificationError(f"{path}: only regular files belong in a model folder, no links or devices")
        check_name(name)
        yield name, path


def _check_header(path: Path) -> None:
    """A safetensors file starts with the length of a JSON header; a renamed pickle does not."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        first = file.read(1)
    if first != b"{" or length > path.stat().st_size:
        raise VerificationError(f"{path}: this is not a safetensors file, whatever its name says")
