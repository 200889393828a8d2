"""What a folder contains, by SHA-256. Written by whoever makes a checkpoint, verified by whoever takes it home."""

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
    """`{relative path: {"sha256": hex, "bytes": n}}` of every regular file below `folder`, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size} for path in files
    }


def write_manifest(folder: Path, trial: str, epoch: int, metrics: Mapping[str, float | None]) -> None:
    """Write `folder/manifest.json`: the files of `folder/model`, and whose they are. Non-finite metrics are null.

    What a model folder may hold is checked by whoever reads the manifest, not by the trial that is to be trusted less.
    """
    finite = {key: value if value is not None and math.isfinite(value) else None for key, value in metrics.items()}
    content = {"trial": trial, "epoch": epoch, "metrics": finite, "files": list_files(folder / "model")}
    write_json(folder / MANIFEST, content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then `os.replace`: a reader sees the old file or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True))
    os.replace(partial, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file of JSON; None where there is no file, or no object in it."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
