"""Lets Ray Tune check for a request to stop, in every step of its loop, ten times per second."""

from __future__ import annotations

from typing import Any

from ray.tune import Stopper

from letheon.common.stop_request import StopRequest


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
