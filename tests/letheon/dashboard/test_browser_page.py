"""One page in a real Chromium, opened by every test run: all its views are drawn without errors."""

from __future__ import annotations

import pytest

from tests.letheon.dashboard.chromium import DRIVER, SLICES, WHY_SKIPPED, Window
from tests.letheon.dashboard.test_browser import CARDS


@pytest.mark.skipif(DRIVER is None, reason=WHY_SKIPPED)
@pytest.mark.usefixtures("no_complaints")
def test_every_view_is_drawn(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty")
    window.until_text(*CARDS, "60 of 60 trials", "saved by stopping", "learning rate")
    window.until_painted(5 + SLICES)
    assert all(len(host.get_attribute("aria-label") or "") > 15 for host in window.all(".chart"))
    window.until(lambda: len(window.all(".bars .bar")) >= 2, "the importance of hyper-parameters")
    assert "letheon pull sixty --select knee" in window.text
