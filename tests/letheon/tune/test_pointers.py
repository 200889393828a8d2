"""Of the checkpoints that Tune makes for a trial the newest two stay."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from letheon.tune.callbacks import PruneTuneCheckpoints


def test_the_newest_two_stay_and_other_trials_are_left_alone(tmp_path: Path) -> None:
    callback, other = PruneTuneCheckpoints(), tmp_path / "t001" / "checkpoint_000000"
    other.mkdir(parents=True)
    for number in range(12):
        folder = tmp_path / "t000" / f"checkpoint_{number:06d}"
        folder.mkdir(parents=True)
        (folder / "epoch.json").write_text("{}")
        callback.on_checkpoint(number, [], None, SimpleNamespace(path=str(folder)))
    assert sorted(path.name for path in (tmp_path / "t000").iterdir()) == ["checkpoint_000010", "checkpoint_000011"]
    assert other.exists()
