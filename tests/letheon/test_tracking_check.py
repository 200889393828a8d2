"""The check of a tracking store in two halves: what takes no time before anything starts, the rest beside Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letheon.tracking import Tracker, TrackingError
from letheon.tracking.store import open_client
from tests.letheon.small_sweep import python
from tests.letheon.tracking_support import SPEC

BEGIN_CHECK = """
import sys
from pathlib import Path
from letheon.tracking import Tracker
tracker = Tracker(Path(sys.argv[1]), "study", "sweep", {})
tracker.begin_check()
assert "mlflow" not in sys.modules
tracker.finish_check()
assert "mlflow" in sys.modules
"""


def test_a_store_of_our_own_is_checked_without_mlflow_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    python(BEGIN_CHECK, tmp_path)


def test_the_second_half_of_a_check_leaves_the_environment_alone(
    fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Tracker(tmp_path, "study", "sweep", SPEC, fresh_store)
    ours.begin_check()
    changes: list[object] = []
    monkeypatch.setattr(os, "putenv", lambda *arguments: changes.append(arguments))
    monkeypatch.setattr(os, "unsetenv", lambda *arguments: changes.append(arguments))
    ours.finish_check()
    assert changes == []
    assert open_client(fresh_store).get_experiment_by_name("study") is not None


def test_a_store_that_cannot_be_written_is_refused_by_the_first_half(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrackingError, match="tracking store sqlite"):
        Tracker(tmp_path, "study", "sweep", SPEC, f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}").begin_check()
    (tmp_path / "mlflow.db").write_text("no database, though as long as the header of one" * 10)
    with pytest.raises(TrackingError, match="not a database"):
        Tracker(tmp_path, "study", "sweep", SPEC, f"sqlite:///{tmp_path / 'mlflow.db'}").begin_check()
