"""The protocol: settings are chosen on all tables but one and reported on that one, in turn.

Every candidate of every policy runs on a few seeds of each table; what is chosen elsewhere runs on all seeds, with
every number of workers. A table from outside is never chosen on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.policies.catalog import POLICIES
from benchmarks.protocol.kept import Kept, Results
from benchmarks.protocol.statistics import chosen, worst_median
from benchmarks.protocol.sweeps import Found, Task, digest_of, most_epochs, run_task, table_of

WORKERS = (4, 1, 16)
"""Trials at a time; epochs and hypervolumes are reported for the first."""
CHOICE_SEEDS = 20
SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Source:
    """`shared`: whether settings may be chosen on it. `kept`: the file of its results; None keeps none."""

    name: str
    path: str
    shared: bool
    kept: Path | None


@dataclass
class Comparison:
    """`settings`: (table, policy) -> number of the chosen candidate. `elsewhere`: whether other tables chose it.
    `computed`: sweeps that were run now; the others were kept."""

    sources: Sequence[Source]
    names: Sequence[str]
    seeds: range
    results: Results = field(default_factory=dict)
    settings: dict[tuple[str, str], int] = field(default_factory=dict)
    elsewhere: bool = False
    computed: int = 0

    def strata(self, source: Source, name: str, workers: int = WORKERS[0]) -> dict[str, list[Found]]:
        """What every seed's sweep found, by stratum, with the chosen settings."""
        return self._by_stratum(source, name, self.settings[source.name, name], self.seeds, workers)

    def cost(self, source: Source, name: str, settings: int) -> float:
        """The worst stratum's median epochs to the largest share, over the seeds of the choice."""
        found = self._by_stratum(source, name, settings, self.seeds[:CHOICE_SEEDS], WORKERS[0])
        return worst_median({key: [it.epochs_95 for it in each] for key, each in found.items()}, "most").value

    def _by_stratum(
        self, source: Source, name: str, settings: int, seeds: Iterable[int], workers: int
    ) -> dict[str, list[Found]]:
        found: dict[str, list[Found]] = {}
        for seed in seeds:
            for stratum, each in self.results[Task(source.path, name, settings, seed, workers)].items():
                found.setdefault(stratum, []).append(each)
        return found


def compare(
    sources: Sequence[Source], names: Sequence[str], seeds: range, fresh: bool = False, workers: Sequence[int] = WORKERS
) -> Comparison:
    """Run all that is not kept: first the candidates, then the chosen ones. `fresh`: compute everything again."""
    found = Comparison(sources, names, seeds)
    run = _Runner(sources, found, fresh)
    shared = [source for source in sources if source.shared]
    found.elsewhere = all(any(other is not source for other in shared) for source in sources)
    if found.elsewhere:
        candidates = [(name, i) for name in names for i in range(len(POLICIES[name].settings))]
        several = [(name, i) for name, i in candidates if len(POLICIES[name].settings) > 1]
        few = seeds[:CHOICE_SEEDS]
        run(Task(source.path, *each, seed, WORKERS[0]) for seed in few for source in shared for each in several)
    for source in sources:
        for name in names:
            found.settings[source.name, name] = choice(found, source, name) if found.elsewhere else 0
    run(
        Task(source.path, name, found.settings[source.name, name], seed, slots)
        for slots in workers
        for seed in seeds
        for source in sources
        for name in names
    )
    return found


def choice(found: Comparison, left_out: Source, name: str) -> int:
    """The policy's candidate that is best on the shared tables other than this one."""
    count = len(POLICIES[name].settings)
    others = [source for source in found.sources if source.shared and source is not left_out]
    if count == 1:
        return 0
    costs = {source.name: [found.cost(source, name, i) for i in range(count)] for source in others}
    return chosen(costs, {source.name: float(most_epochs(table_of(source.path))) for source in others})


def alike(tasks: Iterable[Task]) -> list[list[Task]]:
    """The tasks in groups with one result: Letheon's defaults run under two names."""
    found: dict[tuple[str, int, int], list[Task]] = {}
    for task in tasks:
        found.setdefault((digest_of(task), task.seed, task.workers), []).append(task)
    return list(found.values())


class _Runner:
    """Computes in as many processes as there are cores, and saves now and then: a run that is cut short is not lost."""

    def __init__(self, sources: Sequence[Source], found: Comparison, fresh: bool) -> None:
        self._found = found
        self._kept: Mapping[str, Kept] = {source.path: Kept(source.kept) for source in sources}
        self._find: Callable[[Task], dict[str, Found] | None] = lambda task: (
            None if fresh else self._kept[task.table].find(task)
        )

    def __call__(self, tasks: Iterable[Task]) -> None:
        wanted = [task for task in dict.fromkeys(tasks) if task not in self._found.results]
        known = {task: kept for task in wanted if (kept := self._find(task)) is not None}
        self._found.results.update(known)
        missing = [task for task in wanted if task not in known]
        saved = time.monotonic()
        with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
            running = {pool.submit(run_task, same[0]): same for same in alike(missing)}
            for done in as_completed(running):
                self._found.results.update(dict.fromkeys(running[done], done.result()))
                self._found.computed += len(running[done])
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
        if missing:
            self._save()

    def _save(self) -> None:
        for path, kept in self._kept.items():
            kept.save({task: found for task, found in self._found.results.items() if task.table == path})
