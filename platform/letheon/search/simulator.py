"""A sweep over a table: W slots in virtual time, and the conductor that real sweeps have. Knows no policy.

Another mind than Letheon's can be put in the conductor's place, to compare the two on equal terms.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from letheon.journal import Row
from letheon.schedulers.decision import Decision
from letheon.search.controller import SweepController
from letheon.search.memory_journal import Enough, Killed, MemoryJournal
from letheon.search.trajectories import Table, Trajectory
from letheon.spec.model import SweepSpec


@dataclass(frozen=True)
class Simulation:
    """The journal that the sweep would have written, in virtual seconds, and why it ended."""

    rows: Sequence[Row]
    seconds: float
    over: str | None


@dataclass
class _Running:
    trial: str
    trajectory: Trajectory
    epoch: int = 0


class Mind(Protocol):
    """What a simulated sweep asks: see `SweepController`, which is one."""

    over: str | None

    def next_trial(self) -> Row | None: ...

    def report(self, trial: str, epoch: int, metrics: dict[str, float]) -> Decision: ...

    def mark_running(self, trials: Collection[str]) -> None: ...


def simulate(
    spec: SweepSpec,
    table: Table,
    slots: int,
    kills: Iterable[int] = (),
    enough: Callable[[Row], bool] | None = None,
    mind: Callable[[MemoryJournal], Mind] | None = None,
) -> Simulation:
    """Run `spec` on recorded trajectories.

    `kills`: rows after which the driver dies and is started again at once. `enough`: asked about every row, ends the
    sweep there. `mind`: who decides, from its ledger; by default the sweep file's own conductor.
    Raises TableError when the search space has what the table has not.
    """
    ledger = MemoryJournal(kills, enough)
    decides = mind or (lambda ledger: SweepController(spec, ledger, table.baselines))
    return _Simulator(table, ledger, decides).run(slots)


class _Simulator:
    """Events are (time, order of scheduling, slot): an epoch ends there, or (nothing running) the slot is free."""

    def __init__(self, table: Table, ledger: MemoryJournal, mind: Callable[[MemoryJournal], Mind]) -> None:
        self._table, self._ledger, self._mind_of = table, ledger, mind
        self._running: dict[int, _Running] = {}
        self._events: list[tuple[float, int, int]] = []
        self._scheduled = 0
        self._mind = self._opened()

    def run(self, slots: int) -> Simulation:
        for slot in range(slots):
            self._schedule(slot, 0.0)
        while self._events:
            self._ledger.time, _, slot = heapq.heappop(self._events)
            try:
                self._survive(slot)
            except Enough:
                return Simulation(self._ledger.rows, self._ledger.time, "enough was seen")
        return Simulation(self._ledger.rows, self._ledger.time, self._mind.over)

    def _survive(self, slot: int) -> None:
        """Let the slot's event happen, as often as the driver dies over it."""
        while True:
            try:
                self._happen(slot)
                return
            except Killed:
                self._mind = self._opened()

    def _opened(self) -> Mind:
        while True:
            try:
                mind = self._mind_of(self._ledger)
                break
            except Killed:
                continue
        mind.mark_running([running.trial for running in self._running.values()])
        return mind

    def _schedule(self, slot: int, seconds: float) -> None:
        self._scheduled += 1
        heapq.heappush(self._events, (self._ledger.time + seconds, self._scheduled, slot))

    def _happen(self, slot: int) -> None:
        running = self._running.get(slot)
        if running is not None:
            epoch = running.epoch + 1
            decision = self._mind.report(running.trial, epoch, running.trajectory.epochs[epoch - 1])
            if decision.action == "continue":
                running.epoch = epoch
                self._schedule(slot, running.trajectory.seconds[epoch])
                return
            del self._running[slot]
        row = self._mind.next_trial()
        if row is not None:
            self._running[slot] = _Running(row["trial"], self._table.find(row["config"]))
            self._schedule(slot, self._running[slot].trajectory.seconds[0])
