"""Gives a sweep's gauges to Ray, which serves them to Prometheus from every node. Never disturbs the sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from letheon.monitor.gauges import GAUGES, Reading, readings
from letheon.monitor.watch import LiveSweep, asked_of
from letheon.spec.model import SweepSpec

log = logging.getLogger(__name__)


class Exporter:
    """`export()` sets every gauge to what `read` says; after the first failure, whatever it is, it does nothing more.

    To be used inside a Ray session, by one thread.
    """

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read
        self._gauges: dict[str, Any] = {}
        self.problem: str | None = None
        """Why nothing is exported any more; None while all is well."""

    def export(self) -> None:
        if self.problem is not None:
            return
        try:
            for reading in self._read():
                self._gauge(reading.gauge).set(reading.value, tags=dict(reading.tags))
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            log.warning("no metrics for Prometheus from here on: %s", self.problem)

    def _gauge(self, name: str) -> Any:
        if name not in self._gauges:
            from ray.util.metrics import Gauge

            about = GAUGES[name]
            self._gauges[name] = Gauge(name, description=about.about, tag_keys=about.tag_keys)
        return self._gauges[name]


def exporter_of(folder: Path, spec: SweepSpec) -> Exporter:
    """Of the sweep in `folder`."""
    sweep = LiveSweep(folder, asked_of(spec))
    return Exporter(lambda: readings(sweep.look()))
