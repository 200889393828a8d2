"""Fixtures for the tests in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.letheon.dashboard.chromium import Window, served, start
from tests.letheon.dashboard.support import LongStory, write_sweep
from tests.letheon.tracking.tracking_support import Story, story


@pytest.fixture(scope="module")
def window() -> Iterator[Window]:
    chrome = start()
    yield Window(chrome)
    chrome.quit()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of sixty trials, and one of every other state."""
    root = tmp_path_factory.mktemp("dashboard")
    write_sweep(root, "sixty", LongStory(60).rows, "budget.trials=60")
    tale = Story()
    tale.add("sweep", state="preparing")
    write_sweep(root, "fresh", tale.rows)
    tale.add("sweep", state="failed", detail="PreparationFailed: the target model did not fit")
    write_sweep(root, "broken", tale.rows)
    write_sweep(
        root, "stopped", [*story(), {**tale.rows[-1], "seq": len(story()) + 1, "state": "interrupted", "detail": "x"}]
    )
    return root


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with served(root) as address:
        yield address


@pytest.fixture
def no_complaints(window: Window) -> Iterator[None]:
    window.emulate()
    window.complaints()
    yield
    assert window.complaints() == []
