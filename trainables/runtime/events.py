"""Says in a log what happened when, for those who want to know where the seconds of a start went.

`1764081234.123 letheon: t003: first step of epoch 1`: seconds since 1970, on the clock of the machine that writes.
"""

from __future__ import annotations

import time
from pathlib import Path

WORD = "letheon:"
EVENTS = "events.log"


def mark(event: str, folder: Path | None = None) -> None:
    """Print it, which in a worker goes to its log; or add it to `events.log` in the folder of a sweep's logs."""
    line = f"{time.time():.3f} {WORD} {event}"
    if folder is None:
        print(line, flush=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / EVENTS).open("a") as file:
        file.write(f"{line}\n")
