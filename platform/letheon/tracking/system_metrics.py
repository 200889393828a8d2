"""System metrics of the driver's machine, measured by MLflow's monitors and written by the sweep's one writer.

MLflow's own thread would be a second writer of the run, and stops forever when the store goes away. The step of a
sample is its time in seconds since the start of the sweep, so a resumed sweep continues the series. Samples wait in
memory until the store takes them; they describe a process, so they are not in the journal and are lost with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from letheon.tracking.run_records import Point

SWITCH, INTERVAL = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
DEFAULT_SECONDS = 10.0
MOST_WAITING = 50_000  # points: about seventeen hours without the store


class SystemMetrics:
    """CPU, memory, disk, network and, with nvidia-ml-py, GPUs. On unless MLflow's own switch is `false`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._period = max(1.0, float(os.environ.get(INTERVAL) or DEFAULT_SECONDS))
        self._on = os.environ.get(SWITCH, "true").strip().lower() not in ("false", "0")
        self._next = 0.0
        self._monitors: list[Any] | None = None
        self._waiting: list[Point] = []

    @property
    def due(self) -> bool:
        """Whether it is time for a sample."""
        return self._on and self._clock() >= self._next

    @property
    def waiting(self) -> list[Point]:
        """The points that the store does not have yet."""
        return list(self._waiting)

    def sample(self, started: int) -> None:
        """Take a sample if one is due; `started`: the sweep's start in milliseconds."""
        if not self.due:
            return
        now = self._clock()
        self._next = now + self._period
        if self._monitors is None:
            self._monitors = _monitors()
        moment = round(now * 1000)
        step = max(0, moment - started) // 1000
        for monitor in self._monitors:
            monitor.collect_metrics()
            found = {name: float(value) for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
            self._waiting += [Point(f"system/{name}", value, moment, step) for name, value in found.items()]
        del self._waiting[:-MOST_WAITING]

    def written(self, points: list[Point]) -> None:
        """Drop `points`, the first ones waiting, once the store has them."""
        del self._waiting[: len(points)]


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    found: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]  # type: ignore[no-untyped-call]
    with suppress(ImportError, RuntimeError):  # no nvidia-ml-py, or no GPU
        found.append(GPUMonitor())  # type: ignore[no-untyped-call]
    return found
