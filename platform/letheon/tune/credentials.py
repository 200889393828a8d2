"""Keeps the driver's credentials out of Ray's logs."""

from __future__ import annotations

import os
from typing import Any

from ray.tune import Callback

PREFIX = "AWS_"


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
            self._hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Set them again."""
        self._started = self._started or bool(trials)
        self.restore()

    def restore(self) -> None:
        """Set the hidden variables again, also after a step that raised."""
        os.environ.update(self._hidden)
        self._hidden = {}
