"""Reads the SHA-256 manifest of a model folder and checks the folder against it before any of its files is used.

The trial writes it: `<trial>/epoch-003/manifest.json` next to `<trial>/epoch-003/model/`, a Hugging Face folder.
The manifest vouches for the folder, and the manifest's own digest for the manifest. Independent of MLflow.
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
# Files that a model folder may hold: no pickles, which run code when loaded, and no Python files.
_SUFFIXES = {".safetensors", ".json", ".txt", ".model", ".jinja", ".md"}


class VerificationError(LetheonError):
    """A checkpoint differs from its manifest, or holds a file that no checkpoint may hold."""

    exit_code = 5


@dataclass(frozen=True)
class Entry:
    """One file: SHA-256 in hex, size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The files of a model folder (path relative to it -> entry), its trial and epoch, and the manifest's SHA-256."""

    files: Mapping[str, Entry]
    trial: str
    epoch: int
    metrics: Mapping[str, float | None]
    digest: str

    @property
    def bytes(self) -> int:
        """Total size of all files."""
        return sum(entry.bytes for entry in self.files.values())


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises VerificationError if it is missing, malformed or names a refused path."""
    try:
        with path.open("rb") as file:
            return parse_manifest(file.read(MAX_MANIFEST_BYTES + 1), str(path))
    except OSError as error:
        raise VerificationError(f"{path}: the manifest cannot be read ({error.strerror or error})") from error


def parse_manifest(data: bytes, where: str) -> Manifest:
    """A manifest from its bytes, with every name and digest checked. Raises VerificationError; `where` names it."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise VerificationError(f"{where}: a manifest has at most {MAX_MANIFEST_BYTES} bytes")
    try:
        raw = json.loads(data, object_pairs_hook=_without_duplicates)
        files = {str(name): _entry(entry) for name, entry in raw["files"].items()}
        trial, epoch, metrics = str(raw["trial"]), int(raw["epoch"]), dict(raw["metrics"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        cause = f"{type(error).__name__}: {error}"[:_MAX_NAME]
        raise VerificationError(f"{where}: not a valid manifest ({cause})") from error
    _check_files(files, where)
    return Manifest(files, trial, epoch, metrics, hashlib.sha256(data).hexdigest())


def _entry(raw: Any) -> Entry:
    if type(raw["bytes"]) is not int:  # other readers may convert a float or a text differently
        raise TypeError("bytes must be an integer")
    return Entry(str(raw["sha256"]), raw["bytes"])


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Readers disagree on which of two equal keys counts, so neither is accepted."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _check_files(files: Mapping[str, Entry], where: str) -> None:
    """Check every name and entry, and that the names stay distinct files on a case-insensitive file system."""
    if not 0 < len(files) <= _MAX_FILES:
        raise VerificationError(f"{where}: names {len(files) or 'no'} files; a model has 1 to {_MAX_FILES}")
    folded: dict[str, str] = {}
    for name, entry in files.items():
        check_name(name)
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            raise VerificationError(f"{where}: {twin!r} and {name!r} are the same file on some file systems")
        if not is_digest(entry.sha256) or not 0 <= entry.bytes <= _MAX_BYTES:
            raise VerificationError(f"{where}: {name!r} has no valid SHA-256 and size")
    for name in files:
        for folder in PurePosixPath(name.casefold()).parents:
            if str(folder) in folded:
                raise VerificationError(f"{where}: {folded[str(folder)]!r} is both a file and the folder of {name!r}")


def check_name(name: str) -> None:
    """Raise VerificationError for a path that could leave the folder, hide in it, or hold code."""
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
        raise VerificationError(f"file {name!r}: a manifest must not list itself")


def verify(folder: Path, manifest: Manifest) -> None:
    """Raise VerificationError unless `folder` holds the manifest's files unchanged and nothing else.

    A `manifest.json` in it is allowed.
    """
    found = dict(_walk(folder))
    check_names(set(found), manifest, str(folder))
    for name, entry in manifest.files.items():
        check_file(found[name], entry, str(folder / name))
        if name.endswith(".safetensors"):
            _check_header(found[name])


def check_file(path: Path, entry: Entry, name: str) -> None:
    """Raise VerificationError unless the file at `path` has the size and digest of `entry`; `name` names it."""
    size = path.stat().st_size
    if size != entry.bytes:
        raise VerificationError(f"{name}: has {size} bytes, the manifest says {entry.bytes}")
    if sha256(path) != entry.sha256:
        raise VerificationError(f"{name}: SHA-256 differs from the manifest's; the file was changed or damaged")


def check_names(found: set[str], manifest: Manifest, where: str) -> None:
    """Raise VerificationError unless `found` are exactly the manifest's files."""
    extra, missing = sorted(found - set(manifest.files)), sorted(set(manifest.files) - found)
    if extra:
        raise VerificationError(f"{where}: {extra[0]!r} is not in the manifest")
    if missing:
        raise VerificationError(f"{where}: {missing[0]!r} is in the manifest but missing")


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (relative name, path) of every file. Raises VerificationError for a link, device or refused name."""
    if folder.is_symlink():
        raise VerificationError(f"{folder}: symbolic links are not followed")
    if not folder.is_dir():
        raise VerificationError(f"{folder}: no such folder")
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if stat.S_ISDIR(mode) or (name == MANIFEST and stat.S_ISREG(mode)):
            continue
        if not stat.S_ISREG(mode):
            raise VerificationError(f"{path}: a model folder may hold regular files only, no links or devices")
        check_name(name)
        yield name, path


def _check_header(path: Path) -> None:
    """Raise VerificationError for a renamed pickle: a safetensors file starts with the length of a JSON header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        first = file.read(1)
    if first != b"{" or length > path.stat().st_size:
        raise VerificationError(f"{path}: not a safetensors file, despite its name")
