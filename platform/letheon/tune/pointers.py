"""Keeps Tune's own checkpoints few: each only points to an epoch in the trial's folder, and the newest is all it needs.

Tune could do that itself (`num_to_keep`), but would then write the state of all trials down whenever one has reported
that often: time that grows with the square of the number of trials, for a state that nothing reads.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ray.tune import Callback

KEPT = 2  # the one before may be what a slot is reading


class OldPointers(Callback):
    """Removes all but the newest of a trial whenever it has another one."""

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """`checkpoint`: what Tune has just stored, in a folder that ends in its number."""
        for old in sorted(Path(checkpoint.path).parent.glob("checkpoint_*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
