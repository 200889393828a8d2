"""Keeps the driver's credentials out of what Ray writes down."""

from __future__ import annotations

import os
from typing import Any

from ray.tune import Callback

PREFIX = "AWS_"


class HiddenCredentials(Callback):
    """Ray Tune hands `AWS_SECRET_ACCESS_KEY` and the like to the first actor that it starts, in a runtime environment,
    which Ray's agents write to their logs in clear; later actors get what the first one got. Slots write to the root
    only, so they need none of it. Until that actor is asked for, the variables are away during Tune's steps."""

    def __init__(self) -> None:
        self._hidden: dict[str, str] = {}
        self._asked = False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Hide them, if no trial has been started."""
        if not self._asked:
            self._hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Bring them back."""
        self._asked = self._asked or bool(trials)
        self.restore()

    def restore(self) -> None:
        """Bring back what is hidden, as when a step was broken off."""
        os.environ.update(self._hidden)
        self._hidden = {}
