"""A trial's folder holds whole epochs only, and knows from which one it can go on."""

from __future__ import annotations

import json
from pathlib import Path

from trainables.trial_folder import TrialFolder


def finish(folder: TrialFolder, epoch: int) -> None:
    partial = folder.begin(epoch)
    (partial / "state" / "shard.bin").write_bytes(bytes([epoch]) * 100)
    (partial / "model").mkdir()
    (partial / "model" / "model.safetensors").write_bytes(b"weights %d" % epoch)
    folder.commit(epoch, {"metrics": {"epoch": epoch, "loss": float("nan")}, "samples": []})


def test_epochs_appear_whole_and_states_of_old_ones_go(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    for epoch in (1, 2, 3):
        finish(folder, epoch)
    assert [(folder.epoch(e) / "state").exists() for e in (1, 2, 3)] == [False, True, True]
    assert folder.last_usable_epoch() == 3
    assert (folder.record(2) or {})["metrics"]["epoch"] == 2
    assert folder.record(4) is None
    manifest = json.loads((folder.epoch(1) / "manifest.json").read_text())
    assert manifest["trial"] == "t000"
    assert list(manifest["files"]) == ["model.safetensors"]


def test_a_half_written_epoch_is_not_there(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    finish(folder, 1)
    (folder.begin(2) / "state" / "shard.bin").write_bytes(b"half")
    assert folder.last_usable_epoch() == 1
    finish(folder, 2)
    assert folder.last_usable_epoch() == 2


def test_a_damaged_state_falls_back_one_epoch(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    for epoch in (1, 2, 3):
        finish(folder, epoch)
    shard = folder.epoch(3) / "state" / "shard.bin"
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    assert folder.last_usable_epoch() == 2
    folder.truncate(2)
    assert folder.record(3) is None
    assert folder.record(2) is not None


def test_without_any_state_the_trial_starts_afresh(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "t000")
    assert folder.last_usable_epoch() == 0
