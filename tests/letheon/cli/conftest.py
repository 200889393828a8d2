"""The root of the command's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.letheon.dashboard.support import write_sweep
from tests.letheon.tracking.tracking_support import Story


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one finished sweep, `done`, of two trials."""
    tale = Story()
    tale.add("sweep", state="running")
    for trial, stratum, quality in (("t000", "0.1", -3.0), ("t001", "0.25", -1.0)):
        tale.trial(trial, stratum, "npo")
        tale.report(trial, 1, quality, 0.56, rung=1)
        tale.end(trial, "completed", 1)
    tale.add("sweep", state="finished")
    write_sweep(tmp_path, "done", tale.rows, "budget.trials=2")
    return tmp_path
