"""Injects faults into a sweep and times its recovery: until the next report, or until records are up to date."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from faults.soaked import Soaked, kill, wait_for  # type: ignore[import-not-found]  # next to this file

PAUSE = (1.0, 6.0)
OUTAGE = (2.0, 12.0)
KINDS = {"worker": 0.35, "driver": 0.3, "raylet": 0.15, "tracking": 0.2}
LIMIT = 300.0
INTERRUPTED, LOST = 130, 3
"""Exit codes of drivers that end by themselves: stopped, or on a cluster whose last node is gone."""


class Harm:
    """`cluster`: the one that the sweep runs on; None: a Ray of its own.

    `recovered`: seconds by each of the kinds that it may do, appended to.
    """

    def __init__(
        self,
        sweep: Soaked,
        server: Any,
        cluster: Any | None,
        chance: random.Random,
        recovered: Mapping[str, list[float]],
    ) -> None:
        self.sweep, self.server, self.cluster = sweep, server, cluster
        self.chance, self.recovered, self.kinds = chance, recovered, list(recovered)

    def once(self) -> None:
        kind = self.chance.choices(self.kinds, [KINDS[kind] for kind in self.kinds])[0]
        began = getattr(self, kind)()
        if began is not None:
            self.recovered[kind].append(time.monotonic() - began)

    def worker(self) -> float | None:
        began = time.monotonic()
        return began if kill(self.sweep.worker) and self._goes_on() else None

    def driver(self) -> float | None:
        if not self.sweep.kill_driver():
            return None
        began = time.monotonic()
        self.sweep.resume()
        return began if self._goes_on() else None

    def raylet(self) -> float | None:
        """Kill the node that trials run on. If it was the driver's only node, the driver ends and is resumed."""
        began = time.monotonic()
        if self.cluster is not None:
            if self.sweep.worker is None:
                return None
            self.cluster.ask("kill")
            return began if self._goes_on() else None
        if not kill(self.sweep.raylet):
            return None
        wait_for(lambda: self.sweep.over, LIMIT)
        if self.sweep.code == LOST:
            self.sweep.resume()
            return began if self._goes_on() else None
        return None

    def tracking(self) -> float | None:
        """Timed from the moment the server answers again."""
        self.server.stop()
        time.sleep(self.chance.uniform(*OUTAGE))
        self.server.start()
        began = time.monotonic()
        return began if self._until(lambda: self.sweep.tracking_is_ok) else None

    def _goes_on(self) -> bool:
        """One more report, or the end."""
        before = self.sweep.reports
        return self._until(lambda: self.sweep.reports > before) and self.sweep.reports > before

    def _until(self, condition: Callable[[], bool]) -> bool:
        return bool(wait_for(lambda: condition() or self.sweep.over, LIMIT))


def disturbed(
    sweep: Soaked,
    server: Any,
    cluster: Any | None,
    chance: random.Random,
    until: float,
    recovered: Mapping[str, list[float]],
) -> str | None:
    """Run one sweep to its end, with repeated faults until the time is over. Returns why it did not end, or None."""
    harm = Harm(sweep, server, cluster, chance, recovered)
    sweep.begin()
    try:
        wait_for(lambda: sweep.reports > 0 or sweep.over, LIMIT)
        while not sweep.over:
            pause = time.monotonic() + chance.uniform(*PAUSE)
            wait_for(lambda pause=pause: sweep.over or time.monotonic() > pause, LIMIT)
            if not sweep.over and time.monotonic() < until:
                harm.once()
        if sweep.code == INTERRUPTED:  # it ended while the tracking server was down, and has only to be registered
            sweep.resume()
            wait_for(lambda: sweep.over, LIMIT)
    except TimeoutError as error:
        sweep.kill_driver()
        return f"{error}; its driver said: {sweep.said}"
    return None if sweep.code == 0 else f"ended with {sweep.code}: {sweep.said}"


def undisturbed(sweep: Soaked) -> None:
    """Run one sweep to its end. Raises RuntimeError if it fails."""
    sweep.begin()
    wait_for(lambda: sweep.over, 12 * LIMIT)
    if sweep.code != 0:
        raise RuntimeError(sweep.said)
