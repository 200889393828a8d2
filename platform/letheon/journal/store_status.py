"""`tracking.json` in a sweep's folder: whether MLflow has what the journal has. Does not know MLflow.

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
    """Writes the file whenever what it says has changed. One thread at a time."""

    def __init__(self, folder: Path, where: str, clock: Callable[[], float] = time.time) -> None:
        """`where`: the store's URL, without credentials."""
        self._file, self._where, self._clock = folder / NAME, where, clock
        self._said: Mapping[str, Any] | None = None

    def ok(self) -> None:
        """The store has every row."""
        self._say("ok", None, 0)

    def degraded(self, cause: str, behind: int) -> None:
        """The store refused; `behind` rows wait in the journal."""
        self._say("degraded", cause, behind)

    def _say(self, state: str, cause: str | None, behind: int) -> None:
        before = self._said or tracking_health(self._file.parent) or {}
        since = before["since"] if before.get("state") == state else self._clock()
        said = {"state": state, "since": since, "cause": cause, "behind": behind, "where": self._where}
        if said != before:
            write_atomically(self._file, json.dumps(said).encode())
        self._said = said


def tracking_health(folder: Path) -> dict[str, Any] | None:
    """What the file says; None where there is none, or none of ours."""
    said = read_json(folder / NAME)
    known = said is not None and said.get("state") in STATES and isinstance(said.get("since"), int | float)
    return said if known else None
