"""A group of one needs no torch.distributed; a group of two exchanges results in rank order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import tiny
from trainables.runtime.ranks import Group


def test_a_single_process_needs_no_process_group() -> None:
    group = Group()
    assert group.gather([1, "b"]) == [1, "b"]
    assert group.all(True) is True
    assert group.all(False) is False
    group.barrier()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (-1, 2), (0, 0)])
def test_a_rank_outside_the_group_is_an_error(rank: int, size: int) -> None:
    with pytest.raises(ValueError, match="between 0 and size - 1"):
        Group(rank, size)


def exchange(group: Group, folder: Path) -> None:
    rank = group.rank
    assert group.gather([(rank, None)] * (rank + 1)) == [(0, None), (1, None), (1, None)]
    assert [group.all(flag) for flag in (True, False, rank == 0)] == [True, False, False]
    group.barrier()
    (folder / f"done{rank}").touch()


def test_two_ranks_exchange_results(tmp_path: Path) -> None:
    tiny.spawned(exchange, tmp_path, sizes=(2,))
    assert {path.name for path in tmp_path.glob("done*")} == {"done0", "done1"}
