"""Ray Tune callbacks: end a search that has lost its last node, delete old checkpoints."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from ray.tune import Callback

from letheon.common.errors import LetheonError

PERIOD_SECONDS = 5.0
KEPT = 2  # a slot may be reading the second newest


class NodesLost(LetheonError):
    """No node of the cluster is alive."""

    exit_code = 3


class LostNodes(Callback):
    """Checks every few seconds whether any node is alive; Tune itself would wait forever. The sweep can be resumed."""

    def __init__(self) -> None:
        self._next = 0.0

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Raises NodesLost."""
        import ray

        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD_SECONDS
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        if not any(node["Alive"] for node in nodes):
            raise NodesLost("no node of the cluster is alive; start one and resume the sweep")


class PruneTuneCheckpoints(Callback):
    """Deletes all but a trial's two newest checkpoints after each new one."""

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """`checkpoint`: the new one, in a folder whose name ends in its number."""
        for old in sorted(Path(checkpoint.path).parent.glob("checkpoint_*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
