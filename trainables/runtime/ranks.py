"""The processes that run one trial together, and how they exchange results.

A single process never touches torch.distributed; several need its default group to be initialised.
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
    """Process `rank` of `size`, with its tensors on `device` (`cpu`, `cuda`, `cuda:1`)."""

    rank: int = 0
    size: int = 1
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(
                f"rank {self.rank} of {self.size}: must be between 0 and size - 1; pass both from the launcher"
            )

    def gather(self, items: Sequence[T]) -> list[T]:
        """The items of all ranks, concatenated in rank order; the same list on every rank. Items are pickled."""
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
        """Wait until every rank has reached this call."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()
