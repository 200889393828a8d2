"""Simulates a sweep on recorded trajectories: slots in virtual time, and the controller of real sweeps.

Another `SearchPolicy` can replace the controller, to compare the two on equal terms.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from letheon.journal import Row
from letheon.schedulers.decision import Decision
from letheon.search.controller import SweepController
from letheon.search.memory_journal import Killed, MemoryJournal, StopSimulation
from letheon.search.trajectories import Table, Trajectory
from letheon.spec.model import SweepSpec


@dataclass(frozen=True)
class Simulation:
    """The journal that the sweep would have written, its duration in virtual seconds, and why it ended."""

    rows: Sequence[Row]
    seconds: float
    end_reason: str | None


@dataclass
class _Running:
    trial: str
    trajectory: Trajectory
    epoch: int = 0


class SearchPolicy(Protocol):
    """The decisions of a simulated sweep, as `SweepController` makes them."""

    @property
    def end_reason(self) -> str | None: ...

    def next_trial(self) -> Row | None: ...

    def report(self, trial: str, epoch: int, metrics: dict[str, float]) -> Decision: ...

    def mark_running(self, trials: Collection[str]) -> None: ...


def simulate(
    spec: SweepSpec,
    table: Table,
    slots: int,
    kills: Iterable[int] = (),
    stop_when: Callable[[Row], bool] | None = None,
    policy: Callable[[MemoryJournal], SearchPolicy] | None = None,
) -> Simulation:
    """Run `spec` on recorded trajectories; the searcher can propose only what was recorded with all seeds of `spec`.

    A trial is probed after the epochs of the sweep file's probe, also if the table knows more.

    `kills`: numbers of the rows after which the driver dies and is restarted at once. `stop_when`: tested on every row;
    ends the sweep there. `policy`: opens another policy than the sweep file's controller on a journal.
    Raises TableError if the table has no such configuration, or another policy proposes one that is not in the table.
    """
    journal = MemoryJournal(kills, stop_when)
    space = table.space(spec)

    def controller(journal: MemoryJournal) -> SearchPolicy:
        return SweepController(spec, journal, table.baselines, space)

    return _Simulator(table, journal, policy or controller, spec.scheduler.probe_epochs).run(slots)


class _Simulator:
    """Events are (time, order of scheduling, slot): the slot's epoch ends or, if nothing runs there, it is free."""

    def __init__(
        self,
        table: Table,
        journal: MemoryJournal,
        policy: Callable[[MemoryJournal], SearchPolicy],
        probed: Collection[int],
    ) -> None:
        self._table, self._journal, self._open_policy, self._probed = table, journal, policy, probed
        self._running: dict[int, _Running] = {}
        self._events: list[tuple[float, int, int]] = []
        self._scheduled = 0
        self._policy = self._opened()

    def run(self, slots: int) -> Simulation:
        for slot in range(slots):
            self._schedule(slot, 0.0)
        while self._events:
            self._journal.time, _, slot = heapq.heappop(self._events)
            try:
                self._handle_with_restarts(slot)
            except StopSimulation:
                return Simulation(self._journal.rows, self._journal.time, "stop_when holds")
        return Simulation(self._journal.rows, self._journal.time, self._policy.end_reason)

    def _handle_with_restarts(self, slot: int) -> None:
        while True:
            try:
                return self._handle(slot)
            except Killed:
                self._policy = self._opened()

    def _opened(self) -> SearchPolicy:
        while True:
            try:
                policy = self._open_policy(self._journal)
            except Killed:
                continue
            policy.mark_running([running.trial for running in self._running.values()])
            return policy

    def _schedule(self, slot: int, seconds: float) -> None:
        self._scheduled += 1
        heapq.heappush(self._events, (self._journal.time + seconds, self._scheduled, slot))

    def _handle(self, slot: int) -> None:
        running = self._running.get(slot)
        if running is not None:
            epoch = running.epoch + 1
            decision = self._policy.report(running.trial, epoch, running.trajectory.epochs[epoch - 1])
            if decision.action == "continue":
                running.epoch = epoch
                self._schedule(slot, running.trajectory.seconds[epoch])
                return
            del self._running[slot]
        row = self._policy.next_trial()
        if row is not None:
            trajectory = self._table.find(row["config"]).probed_at(self._probed)
            self._running[slot] = _Running(row["trial"], trajectory)
            self._schedule(slot, self._running[slot].trajectory.seconds[0])
