"""The interface of searchers: a function from the history of a sweep to the next configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from letheon.searchers.history import History
from letheon.spec.model import Scalar


@dataclass(frozen=True)
class Proposal:
    """`values` by name, always with `method` and `forget_fraction`; `origin` says in words how they were chosen."""

    values: Mapping[str, Scalar]
    origin: str


class Searcher(Protocol):
    """Proposals depend on the arguments alone; state between calls may only save time."""

    def propose(self, number: int, history: History) -> Proposal | None:
        """Configuration `number` (0, 1, …) of the sweep; None if nothing is left to try."""


@runtime_checkable
class Forecaster(Protocol):
    """A searcher whose model says what is left to gain."""

    def forecast(self, history: History, ahead: int) -> Mapping[str, float]:
        """What the next `ahead` trials of each stratum are expected to add, as a share of its hypervolume so far.

        Infinite without results to go by.
        """
