"""Hooks into Ray Tune's loop: stop on request or without nodes, delete old checkpoints, hide credentials."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback, Stopper

from letheon.common.errors import LetheonError
from letheon.common.stop_request import StopRequest

PERIOD_SECONDS = 5.0
AWS_PREFIX = "AWS_"
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


class HiddenCredentials(Callback):
    """Unsets `AWS_*` variables during Tune's steps until the first trial has started.

    Tune passes them to its first actor in a runtime environment, which Ray's agents write to their logs in clear text;
    later actors get the same environment. Slots write to the root folder only, so they need no credentials.
    """

    def __init__(self) -> None:
        self._hidden: dict[str, str] = {}
        self._started = False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Unset the variables, if no trial has started."""
        if not self._started:
            self._hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(AWS_PREFIX)}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Set them again."""
        self._started = self._started or bool(trials)
        self.restore()

    def restore(self) -> None:
        """Set the hidden variables again, also after a step that raised."""
        os.environ.update(self._hidden)
        self._hidden = {}


class SearchStopper(Stopper):
    """Raises instead of returning True, since Tune would then wait for the current epoch of every trial."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """False: the scheduler ends single trials."""
        return False

    def stop_all(self) -> bool:
        """Raises Stopped if there is a request to stop."""
        self._stop.check()
        return False
