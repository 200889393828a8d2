"""`tracking.json` in a sweep's folder: whether MLflow has all rows of the journal. Independent of MLflow.

{"state": "ok" | "degraded", "since": unix seconds, "cause": text | null, "behind": rows not yet written,
 "where": the store's URL without credentials}
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from letheon.common.files import write_atomically
from trainables.storage.manifest import read_json

NAME = "tracking.json"
STATES = ("ok", "degraded")


class TrackingHealth:
    """Writes the file whenever its content changes. Use it from one thread at a time."""

    def __init__(self, folder: Path, where: str, clock: Callable[[], float] = time.time) -> None:
        """`where`: the store's URL without credentials."""
        self._file, self._where, self._clock = folder / NAME, where, clock
        self._content: Mapping[str, Any] | None = None

    def ok(self) -> None:
        """The store has every row."""
        self._write("ok", None, 0)

    def degraded(self, cause: str, behind: int) -> None:
        """The store failed; `behind` rows wait in the journal."""
        self._write("degraded", cause, behind)

    def _write(self, state: str, cause: str | None, behind: int) -> None:
        before = self._content or tracking_health(self._file.parent) or {}
        since = before["since"] if before.get("state") == state else self._clock()
        content = {"state": state, "since": since, "cause": cause, "behind": behind, "where": self._where}
        if content != before:
            write_atomically(self._file, json.dumps(content).encode())
        self._content = content


def tracking_health(folder: Path) -> dict[str, Any] | None:
    """The content of the file; None if it is missing or not valid."""
    content = read_json(folder / NAME)
    known = content is not None and content.get("state") in STATES and isinstance(content.get("since"), int | float)
    return content if known else None
