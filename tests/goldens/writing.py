"""JSON of goldens that is small, exact, and can be read line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.goldens.peer_code import Checkout

_LINE = 110


def made_with(checkout: Checkout, *packages: str) -> dict[str, str]:
    """The peer's commit, and the releases of what it ran on."""
    return {"commit": checkout.commit, **{name: version(name).partition("+")[0] for name in packages}}


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
