"""Ends a search whose last node is gone: Ray Tune would wait for another one for ever. The sweep stays resumable."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from ray.tune import Callback

from letheon.common.errors import LetheonError

PERIOD_SECONDS = 5.0


class NodesLost(LetheonError):
    """Nothing is left that trials could run on."""

    exit_code = 3


class LostNodes(Callback):
    """Asks Ray every few seconds whether any node is alive."""

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
            raise NodesLost("no node of the cluster is alive any more; resume the sweep once there is one")


KEPT = 2  # the one before may be what a slot is reading


class PruneTuneCheckpoints(Callback):
    """Removes all but the newest of a trial whenever it has another one."""

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """`checkpoint`: what Tune has just stored, in a folder that ends in its number."""
        for old in sorted(Path(checkpoint.path).parent.glob("checkpoint_*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
