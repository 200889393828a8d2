"""How many trials may run while nodes join, leave, or could be started."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from letheon.cluster import session
from letheon.cluster import slots as module
from letheon.cluster.capacity import DoesNotFit
from letheon.cluster.slots import AUTOSCALER_VARIABLE, HEAD, SlotCounter
from tests.letheon.cluster.test_capacity import AUTOSCALER
from trainables.config import WorkersConfig

GPU = WorkersConfig(gpus_per_worker=1)
HEAD_NODE = {"CPU": 4.0, HEAD: 1.0}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """The nodes that Ray reports."""
    present = [dict(HEAD_NODE)]
    monkeypatch.setattr(session, "node_resources", lambda: present)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)
    return present


def test_nodes_that_join_and_leave_are_counted(nodes: list[dict[str, float]]) -> None:
    slots = SlotCounter(WorkersConfig(cpus_per_worker=2), joined=True)
    assert slots() == 2
    nodes.append({"CPU": 2.0})
    assert slots() == 3
    del nodes[:]
    assert slots() == 1, "a trial waits for a node to return"


def test_nodes_that_the_autoscaler_would_start_count_at_once(
    nodes: list[dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(AUTOSCALER))
    monkeypatch.setenv(AUTOSCALER_VARIABLE, str(file))
    assert SlotCounter(GPU, joined=True)() == 10
    with pytest.raises(DoesNotFit, match="1 GPU"):
        SlotCounter(GPU, joined=False)()


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "\xff"])
def test_an_invalid_autoscaler_file_adds_no_nodes(
    text: str, nodes: list[dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_bytes(text.encode("latin-1"))
    monkeypatch.setenv(AUTOSCALER_VARIABLE, str(file))
    assert SlotCounter(WorkersConfig(), joined=True)() == 4
    with pytest.raises(DoesNotFit):
        SlotCounter(GPU, joined=True)()
