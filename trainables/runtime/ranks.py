"""The processes that work on one trial together. Knows how to exchange results between them; not what is computed.

With one process nothing of torch.distributed is needed or touched; with more, its default group must have been set up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """`rank` of `size` processes; `device` is where this process keeps its tensors (`cpu`, `cuda`, `cuda:1`)."""

    rank: int = 0
    size: int = 1
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(
                f"rank {self.rank} of {self.size}: a rank is between 0 and size - 1, pass both from the launcher"
            )

    def gather(self, items: Sequence[T]) -> list[T]:
        """All processes' items, concatenated in rank order, the same list on every rank. Items are pickled."""
        if self.size == 1:
            return list(items)
        from torch import distributed

        parts: list[list[T]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, list(items))
        return [item for part in parts for item in part]

    def all(self, flag: bool) -> bool:
        """True on every rank if `flag` is True on every rank."""
        if self.size == 1:
            return flag
        import torch
        from torch import distributed

        votes = torch.tensor([int(flag)], device=self.device)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MIN)
        return bool(votes.item())

    def barrier(self) -> None:
        """Returns once every rank has come here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()
