"""The gauges of a sweep as a real Ray session serves them."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from letheon.common.scratch import PREFIX
from letheon.journal import SweepLock
from letheon.monitor.exporter import Exporter, exporter_of
from letheon.monitor.gauges import readings
from letheon.monitor.watch import LiveSweep, spec_facts
from tests.letheon.dashboard.support import add_rows, small_spec, write_sweep
from tests.letheon.monitor.test_gauges import RAY_PREFIX
from tests.letheon.monitor.views import running_rows
from tests.letheon.tracking.tracking_support import Story

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
NAME = "scraped"
"""The sweep's name; other tests in this process may have set gauges of other sweeps."""
SECONDS = 60.0
"""How long to wait; Ray updates its values every ten seconds."""
CLOCKS = {"letheon_seconds_left", "letheon_slot_seconds", "letheon_gpu_seconds"}
OF_RAY = {"Component", "JobId", "NodeAddress", "SessionName", "Version", "WorkerId"} | {
    f"otel_scope_{name}" for name in ("name", "schema_url", "version")
}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Path]:
    """A sweep's folder, with this process as its driver."""
    folder = write_sweep(tmp_path, NAME, running_rows(), "budget.epochs=400")
    with SweepLock(folder):
        yield folder


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.5)
    return found


def targets() -> list[str]:
    """Addresses that this process's session announces to Prometheus, through the link next to its folder."""
    [link] = Path(tempfile.gettempdir()).glob(f"{PREFIX}{os.getpid()}-*.json")
    return [address for group in json.loads(link.read_text()) for address in group["targets"]] if link.exists() else []


def scraped() -> Series:
    found: Series = {}
    for target in targets():
        for family in text_string_to_metric_families(served(target)):
            for sample in family.samples:
                if sample.labels.get("sweep") == NAME:
                    labels = frozenset((k, v) for k, v in sample.labels.items() if k not in OF_RAY)
                    found[sample.name, labels] = sample.value
    return found


def served(target: str) -> str:
    """The page of metrics; empty while the announced address does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def expected(folder: Path) -> Series:
    view = LiveSweep(folder, spec_facts(small_spec("budget.epochs=400"))).look()
    return {(RAY_PREFIX + one.gauge, frozenset(one.tags.items())): one.value for one in readings(view)}


def exporting(folder: Path) -> Exporter:
    exporter = exporter_of(folder, small_spec("budget.epochs=400"))
    exporter.export()
    assert exporter.problem is None
    return exporter


def equal(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ray_serves_every_number_and_renews_it(sweep: Path) -> None:
    exporter, wanted = exporting(sweep), expected(sweep)
    seen: Series = wait_for(lambda: (found := scraped()).keys() >= wanted.keys() and found)
    assert seen.keys() == wanted.keys()
    for (name, labels), value in wanted.items():
        if name.removeprefix(RAY_PREFIX) not in CLOCKS:
            assert equal(seen[name, labels], value), (name, labels)
    tale = Story()
    tale.rows = running_rows()
    tale.end("t017", "pruned", 3)
    add_rows(sweep, tale.rows[-1:])
    exporter.export()
    key = ("ray_letheon_pruned_trials", frozenset({("sweep", NAME), ("reason", "rung")}))
    assert expected(sweep)[key] == wanted[key] + 1
    wait_for(lambda: scraped().get(key) == wanted[key] + 1)
