"""What a searcher is: a function from what has been seen to the next configuration that is worth a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from letheon.searchers.history import History
from letheon.spec.model import Scalar


@dataclass(frozen=True)
class Proposal:
    """`values` by name, `method` and `forget_fraction` always among them; `origin` says in words where from."""

    values: Mapping[str, Scalar]
    origin: str


class Searcher(Protocol):
    """Answers depend on the arguments alone: what it keeps between calls saves time and changes nothing."""

    def propose(self, number: int, history: History) -> Proposal | None:
        """Configuration `number` (0, 1, …) of the sweep; None when there is nothing left to try."""
