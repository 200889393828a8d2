"""Ray Tune's view of the request to stop: asked in every step of its loop, ten times a second."""

from __future__ import annotations

from typing import Any

from ray.tune import Stopper

from letheon.common.stop_request import StopRequest


class SearchStopper(Stopper):
    """Raises rather than to return True, for which Tune would wait until every trial has finished its epoch."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are ended by the scheduler."""
        return False

    def stop_all(self) -> bool:
        """Raises Stopped if there is a request."""
        self._stop.check()
        return False
