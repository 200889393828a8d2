"""Callbacks of Tune: old checkpoints are deleted, a search without nodes ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from letheon.tune.callbacks import LostNodes, NodesLost, PruneTuneCheckpoints


def test_a_search_without_a_living_node_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray cannot run without a node, so its answer is replaced."""
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": False}, {"Alive": True}])
    LostNodes().on_step_begin(0, [])
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": False}])
    with pytest.raises(NodesLost, match="resume the sweep"):
        LostNodes().on_step_begin(0, [])


def test_the_newest_two_checkpoints_stay_and_other_trials_are_left_alone(tmp_path: Path) -> None:
    callback, other = PruneTuneCheckpoints(), tmp_path / "t001" / "checkpoint_000000"
    other.mkdir(parents=True)
    for number in range(12):
        folder = tmp_path / "t000" / f"checkpoint_{number:06d}"
        folder.mkdir(parents=True)
        (folder / "epoch.json").write_text("{}")
        callback.on_checkpoint(number, [], None, SimpleNamespace(path=str(folder)))
    assert sorted(path.name for path in (tmp_path / "t000").iterdir()) == ["checkpoint_000010", "checkpoint_000011"]
    assert other.exists()
