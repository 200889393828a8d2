"""One thread per process (more only wait for each other on models this small), and one process group on the GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from trainables.runtime.ranks import Group


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def gpu_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """The one group of a process: DeepSpeed keeps a copy of the first, and refuses to work in a second."""
    from tests import tiny

    with tiny.joined(tmp_path_factory.mktemp("gpu-group"), device="cuda:0") as group:
        yield group
