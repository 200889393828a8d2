"""Hooks into Tune's loop: a search without nodes ends, old checkpoints are deleted, credentials are hidden."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from letheon.tune.callbacks import HiddenCredentials, LostNodes, NodesLost, PruneTuneCheckpoints

SECRET = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a secret"}


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


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> HiddenCredentials:
    for name, value in SECRET.items():
        monkeypatch.setenv(name, value)
    return HiddenCredentials()


def visible() -> dict[str, str]:
    return {name: os.environ[name] for name in SECRET if name in os.environ}


def test_credentials_are_hidden_in_every_step_until_one_has_a_trial(hidden: HiddenCredentials) -> None:
    for trials in ([], ["the first"]):
        hidden.on_step_begin(0, trials)
        assert visible() == {}
        hidden.on_step_end(0, trials)
        assert visible() == SECRET
    hidden.on_step_begin(1, ["the first"])
    assert visible() == SECRET


def test_credentials_are_restored_after_a_step_that_raised(hidden: HiddenCredentials) -> None:
    hidden.on_step_begin(0, [])
    hidden.restore()
    assert visible() == SECRET
