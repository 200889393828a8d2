"""What can go wrong with records. Each message says the value, the rule and the fix."""

from __future__ import annotations

from letheon.common.errors import LetheonError


class TrackingError(LetheonError):
    """The tracking store cannot be reached, or refused what was asked of it. `advice`: how to mend it, if known."""

    exit_code = 3

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(f"{message}; {advice}" if advice else message)
        self.advice = advice


class SweepNotFoundError(LetheonError):
    """No sweep, front or version of that name is in the tracking store."""

    exit_code = 4
