"""How a running trial talks to whoever started it."""

from __future__ import annotations

from typing import Any, Protocol

from trainables.runtime.ranks import Group


class Channel(Protocol):
    """What a trial needs of the outside. Called by rank 0 only."""

    def may_run(self, epoch: int) -> bool:
        """Block until the verdict on the epochs before is known; False abandons the trial."""

    def report(self, epoch: int, metrics: dict[str, Any]) -> None: ...


def first(group: Group, ask: Any) -> Any:
    """The answer that rank 0 gets, on every rank."""
    return group.gather([ask() if group.rank == 0 else None])[0]
