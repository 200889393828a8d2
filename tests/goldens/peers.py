"""What the makers of goldens share: modules of a peer's checkout, its commit, and JSON that is small and exact."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LINE = 110


def module(folder: Path, name: str) -> Any:
    """A module of the peer's, unchanged; what it imports by short names is found in its own folder first."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def made_with(checkout: Path, *packages: str) -> dict[str, str]:
    """The peer's commit, and the releases of what it ran on."""
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return {"commit": commit.stdout.strip(), **{name: version(name).partition("+")[0] for name in packages}}


def write(found: Mapping[str, Any], path: Path) -> None:
    """Floats in full (repr); what fits into a line stands on one."""
    path.write_text(_text(found, "") + "\n", encoding="utf-8")


def _text(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(indent) + len(flat) <= _LINE:
        return flat
    inner = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_text(each, inner)}" for key, each in value.items()]
        opens, closes = "{", "}"
    else:
        if all(isinstance(each, int | float) for each in value):
            return flat
        parts = [_text(each, inner) for each in value]
        opens, closes = "[", "]"
    return f"{opens}\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}{closes}"
