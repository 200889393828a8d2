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


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """`{relative path: {"sha256": hex, "bytes": n}}` for every regular file below `folder`, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size} for path in files
    }


def write_manifest(folder: Path, trial: str, epoch: int, metrics: Mapping[str, float | None]) -> None:
    """Write `folder/manifest.json`: trial, epoch, metrics (null if not finite) and the files of `folder/model`.

    The reader of a manifest checks which files a model folder may hold; trials are not trusted to do so.
    """
    finite = {key: value if value is not None and math.isfinite(value) else None for key, value in metrics.items()}
    content = {"trial": trial, "epoch": epoch, "metrics": finite, "files": list_files(folder / "model")}
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
