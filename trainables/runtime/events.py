"""Timestamped log lines that show where the time of a start goes.

`1764081234.123 letheon: t003: first step of epoch 1`: seconds since 1970, by the clock of the machine that writes.
"""

from __future__ import annotations

import time
from pathlib import Path


def mark(event: str, folder: Path | None = None) -> None:
    """Print the event, which in a worker goes to its log, or append it to `events.log` in `folder`."""
    line = f"{time.time():.3f} letheon: {event}"
    if folder is None:
        print(line, flush=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.log").open("a") as file:
        file.write(f"{line}\n")
