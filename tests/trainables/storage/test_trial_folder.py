"""A trial's folder holds complete epochs only, and finds the one to resume from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trainables.storage.hashed_files import WEIGHTS, link_files
from trainables.storage.trial_folder import Progress, TrialFolder


def finish(folder: TrialFolder, epoch: int, state: bool = True, model: bool = True) -> None:
    partial = folder.begin(epoch)
    if state:
        (partial / "state" / "shard.bin").write_bytes(bytes([epoch]) * 100)
    if model:
        (partial / "model").mkdir()
        (partial / "model" / "model.safetensors").write_bytes(b"weights %d" % epoch)
    folder.commit(epoch, {"metrics": {"epoch": epoch, "loss": float("nan")}, "samples": []})


def test_epochs_appear_complete_and_old_states_are_deleted(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    for epoch in (1, 2, 3):
        finish(folder, epoch)
    assert [(folder.epoch(e) / "state").exists() for e in (1, 2, 3)] == [False, True, True]
    assert folder.recover() == Progress(3, 3)
    assert (folder.record(2) or {})["metrics"]["epoch"] == 2
    assert folder.record(4) is None
    manifest = json.loads((folder.epoch(1) / "manifest.json").read_text())
    assert manifest["trial"] == "t000"
    assert list(manifest["files"]) == ["model.safetensors"]


def test_a_half_written_epoch_does_not_count(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    finish(folder, 1)
    (folder.begin(2) / "state" / "shard.bin").write_bytes(b"half")
    assert folder.recover() == Progress(1, 1)
    finish(folder, 2)
    assert folder.recover() == Progress(2, 2)


def test_states_and_weights_of_some_epochs_only(tmp_path: Path) -> None:
    """The last two states stay, however old, and weights without a state are kept."""
    folder = TrialFolder(tmp_path / "t000")
    for epoch in range(1, 8):
        finish(folder, epoch, state=epoch in (1, 3, 4), model=epoch % 2 == 1)
    assert folder.recover() == Progress(7, 4)
    parts = {part: [e for e in range(1, 8) if (folder.epoch(e) / part).exists()] for part in ("state", "model")}
    assert parts == {"state": [3, 4], "model": [1, 3, 5, 7]}
    assert [e for e in range(1, 8) if (folder.epoch(e) / "manifest.json").exists()] == parts["model"]
    shard = folder.epoch(4) / "state" / "shard.bin"
    shard.write_bytes(b"damaged")
    assert folder.recover() == Progress(3, 3)


def test_a_state_stays_intact_when_the_weights_that_it_shares_are_deleted(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    partial = folder.begin(1)
    (partial / "model").mkdir()
    (partial / "model" / "model.safetensors").write_bytes(b"weights")
    link_files(partial / "model", partial / "state" / WEIGHTS, ["model.safetensors"])
    folder.commit(1, {"metrics": {"epoch": 1}, "samples": []}, {})
    shutil.rmtree(folder.epoch(1) / "model")
    assert folder.recover() == Progress(1, 1)
    (folder.epoch(1) / "state" / WEIGHTS / "model.safetensors").write_bytes(b"Weights")
    assert folder.recover() == Progress(0, 0)


def test_a_damaged_state_falls_back_one_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = TrialFolder(tmp_path / "t000")
    for epoch in (1, 2, 3):
        finish(folder, epoch)
    shard = folder.epoch(3) / "state" / "shard.bin"
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    assert folder.recover() == Progress(2, 2)
    assert "t000: epoch 3 is damaged; continuing from epoch 2" in capsys.readouterr().out
    assert folder.record(3) is None
    assert folder.record(2) is not None


def test_without_any_state_the_trial_starts_from_the_beginning(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    assert folder.recover() == Progress(0, 0)


def test_an_intact_folder_is_resumed_without_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = TrialFolder(tmp_path / "t000")
    for epoch in (1, 2, 3):
        finish(folder, epoch)
    assert folder.recover() == Progress(3, 3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b'{"metrics": {"lo', b"\x00" * 100, b"[]", b'{"samples": []}', b"\xff\xfe{}"])
@pytest.mark.parametrize(("epoch", "usable"), [(1, 0), (2, 0), (3, 2)])
def test_trials_do_not_resume_after_a_damaged_record(tmp_path: Path, content: bytes, epoch: int, usable: int) -> None:
    """Only the last two states are kept, so earlier damage means to train from the beginning again."""
    folder = TrialFolder(tmp_path / "t000")
    for each in (1, 2, 3):
        finish(folder, each)
    (folder.epoch(epoch) / "metrics.json").write_bytes(content)
    assert folder.recover() == Progress(epoch - 1, usable)
    assert [folder.record(each) is not None for each in (1, 2, 3)] == [each < epoch for each in (1, 2, 3)]


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "add"])
def test_any_damage_of_the_state_is_detected(tmp_path: Path, damage: str) -> None:
    folder = TrialFolder(tmp_path / "t000")
    for epoch in (1, 2):
        finish(folder, epoch)
    shard = folder.epoch(2) / "state" / "shard.bin"
    content = shard.read_bytes()
    if damage == "truncate":
        shard.write_bytes(content[:50])
    elif damage == "flip":
        shard.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "remove":
        shard.unlink()
    else:
        shard.with_name("more.bin").write_bytes(b"more")
    assert folder.recover() == Progress(1, 1)


@pytest.mark.parametrize("value", [None, "high", True, [1.0]])
def test_a_metric_that_is_not_a_number_is_an_error_and_leaves_no_epoch(tmp_path: Path, value: object) -> None:
    folder = TrialFolder(tmp_path / "t000")
    folder.begin(1)
    with pytest.raises(TypeError, match=r"model_utility of epoch 1 is .*: a trainable must report numbers only"):
        folder.commit(1, {"metrics": {"epoch": 1, "model_utility": value}, "samples": []})
    assert folder.record(1) is None
