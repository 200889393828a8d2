"""A folder's files with their SHA-256: written with a checkpoint, verified when it is pulled. And atomic JSON files."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path, known: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """`{relative path: {"sha256": hex, "bytes": n}}` for every regular file below `folder`, sorted by path.

    `known`: entries of files that were hashed when they were written; the others are read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: (known or {}).get(name) or {"sha256": sha256(path), "bytes": path.stat().st_size}
        for name, path in names.items()
    }


def write_manifest(
    folder: Path,
    trial: str,
    epoch: int,
    metrics: Mapping[str, float | None],
    files: Mapping[str, Any] | None = None,
) -> None:
    """Write `folder/manifest.json`: trial, epoch, metrics (null if not finite) and the files of `folder/model`.

    `files`: the result of `list_files` for them, if it is known.

    The reader of a manifest checks which files a model folder may hold; trials are not trusted to do so.
    """
    finite = {key: value if value is not None and math.isfinite(value) else None for key, value in metrics.items()}
    content = {
        "trial": trial,
        "epoch": epoch,
        "metrics": finite,
        "files": list_files(folder / "model") if files is None else files,
    }
    write_json(folder / MANIFEST, content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the complete new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True))
    os.replace(partial, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file cannot be read or holds no JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
