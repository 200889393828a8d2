"""Errors of the tracking store."""

from __future__ import annotations

from letheon.common.errors import LetheonError


class TrackingError(LetheonError):
    """The tracking store cannot be reached or refused a request. `advice`: the fix, if known."""

    exit_code = 3

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(f"{message}; {advice}" if advice else message)
        self.advice = advice


class SweepNotFoundError(LetheonError):
    """The tracking store has no sweep, front or version of that name."""

    exit_code = 4
