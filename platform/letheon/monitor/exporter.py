"""Hands a sweep's gauges to Ray, which serves them to Prometheus from every node. Never disturbs the sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from letheon.monitor.gauges import GAUGES, Reading, readings
from letheon.monitor.watch import LiveSweep, spec_facts
from letheon.spec.model import SweepSpec

log = logging.getLogger(__name__)


class Exporter:
    """`export()` sets every gauge to its value from `read`. After the first failure of any kind it does nothing.

    For use inside a Ray session, by one thread.
    """

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read
        self._gauges: dict[str, Any] = {}
        self.problem: str | None = None
        """Why exporting stopped; None while it works."""

    def export(self) -> None:
        if self.problem is not None:
            return
        try:
            for reading in self._read():
                self._gauge(reading.gauge).set(reading.value, tags=dict(reading.tags))
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            log.warning("stopped exporting metrics to Prometheus: %s", self.problem)

    def _gauge(self, name: str) -> Any:
        if name not in self._gauges:
            from ray.util.metrics import Gauge

            declared = GAUGES[name]
            self._gauges[name] = Gauge(name, description=declared.about, tag_keys=declared.tag_keys)
        return self._gauges[name]


def exporter_of(folder: Path, spec: SweepSpec) -> Exporter:
    """The exporter for the sweep in `folder`."""
    sweep = LiveSweep(folder, spec_facts(spec))
    return Exporter(lambda: readings(sweep.look()))
