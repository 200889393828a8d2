"""How a running trial talks to the process that started it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from trainables.runtime.ranks import Group

T = TypeVar("T")


class Channel(Protocol):
    """A trial's connection to its driver. Only rank 0 uses it."""

    def may_run(self, epoch: int) -> bool:
        """Block until the earlier epochs have been judged; False ends the trial."""

    def report(self, epoch: int, metrics: dict[str, Any]) -> None: ...


def broadcast_from_rank0(group: Group, call: Callable[..., T]) -> T:
    """Call the function on rank 0 only and return its result on every rank."""
    results: list[Any] = group.gather([call() if group.rank == 0 else None])
    result: T = results[0]
    return result
