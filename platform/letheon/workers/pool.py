"""The worker groups of one command: they run preparation, trials and audits one after another in the same processes.

They start once and as early as possible; later jobs reuse their imports, models and process groups. Independent of what
the jobs do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.cluster.session import node_resources
from letheon.common.stop_request import StopRequest
from letheon.spec.load import with_texts
from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import CLOSE_SECONDS, OwnedWorkerGroup
from trainables.synthetic.name import SYNTHETIC

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from trainables.config import Frozen

ABANDON_SECONDS = 0.5
"""How long workers may take to leave their loop after an interrupt before they are killed."""

POLL_SECONDS = 0.2
"""How often `run` checks for a request to stop while it waits for reports."""

CPUS_TO_START = 2.0
"""CPUs that a starting group keeps busy with imports, its own and those of Ray's processes."""


@dataclass
class ReadyCounter:
    """Call it for how many of the groups with these mailboxes take jobs, at least one. Picklable."""

    mailboxes: list[Any]
    count: int = 1

    def __call__(self) -> int:
        import ray

        while self.count < len(self.mailboxes) and ray.get(self.mailboxes[self.count].is_ready.remote()):
            self.count += 1
        return self.count


class Pool:
    """Starts worker groups on demand, at most `most`."""

    def __init__(self, settings: WorkerSettings, most: int, at_once: int, stop: StopRequest | None = None) -> None:
        """`at_once`: how many groups may start at the same time. `stop`: a request ends `run`."""
        self.settings, self._most, self._at_once, self._stop = settings, most, at_once, stop or StopRequest()
        self._groups: list[OwnedWorkerGroup] = []

    @property
    def names(self) -> list[str]:
        """Names by which slots claim the groups."""
        return [group.name for group in self._groups]

    @property
    def ready(self) -> ReadyCounter:
        """Counts the groups that take jobs."""
        return ReadyCounter([group.mailbox for group in self._groups])

    def grow(self, count: int) -> None:
        """Start groups until there are `count`, or the maximum. Returns at once, while they start."""
        while len(self._groups) < min(count, self._most):
            started = len(self._groups)
            after = self._groups[started - self._at_once] if started >= self._at_once else None
            self._groups.append(OwnedWorkerGroup(self.settings, after))

    def run(
        self, jobs: Mapping[str, Frozen], needs: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Run all jobs; yields each key with its report once it is done. A failed job's report has `failed`.

        Jobs start in the given order, except those that wait for others (`needs`: key -> keys that must be done).

        Raises:
            Stopped: there is a request to stop; `close` ends the running jobs.
        """
        import ray

        self._drop_closed()
        self.grow(len(jobs))
        waiting, free, running = dict(jobs), list(self._groups), dict[Any, tuple[str, OwnedWorkerGroup]]()
        while waiting or running:
            self._stop.check()
            for key in _ready(waiting, running, needs or {})[: len(free)]:
                group, job = free.pop(0), waiting.pop(key)
                running[group.begin_epoch(group.submit(job.model_dump(mode="json")), 1)] = key, group
            done, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
            for report in done:
                key, group = running.pop(report)
                result: dict[str, Any] = ray.get(report)
                yield key, {"failed": result["ended"]} if "ended" in result else result
                free.append(group)

    def _drop_closed(self) -> None:
        """Forget groups that have ended, or whose resources a slot has returned to Ray."""
        import ray

        kept = [group for group in self._groups if ray.get(group.mailbox.is_open.remote())]
        for group in self._groups:
            if group not in kept:
                group.close()
        self._groups = kept

    def close(self, patience: float) -> None:
        """End all groups in parallel and wait for Ray Train to clean up. Those still busy after `patience` seconds are
        killed."""
        if self._groups:
            with ThreadPoolExecutor(len(self._groups)) as threads:
                list(threads.map(lambda group: group.close(patience), self._groups))
        self._groups = []


def _ready(
    waiting: Mapping[str, Any], running: Mapping[Any, tuple[str, Any]], needs: Mapping[str, Collection[str]]
) -> list[str]:
    unfinished = {*waiting, *(key for key, _ in running.values())}
    return [key for key in waiting if unfinished.isdisjoint(needs.get(key, ()))]


@contextmanager
def pool_of(
    spec: SweepSpec, slots: int, folder: Path, joined: bool = False, stop: StopRequest | None = None
) -> Iterator[Pool]:
    """A pool of at most `slots` groups within the block, in a running Ray session, with logs below `folder`.

    `joined`: Ray is a running cluster, which may grow. After an error or a request to `stop` busy workers are killed.
    """
    cpus = sum(node.get("CPU", 0.0) for node in node_resources())
    workers, preload = spec.trial.workers_config, spec.benchmark.name != SYNTHETIC
    settings = WorkerSettings(
        workers, folder / "train", folder / "logs", preload, fixed_nodes=not joined, plugins=with_texts(spec.plugins)
    )
    pool = Pool(settings, slots, max(1, int(cpus // CPUS_TO_START)), stop)
    patience = CLOSE_SECONDS
    try:
        yield pool
    except BaseException:
        patience = ABANDON_SECONDS
        raise
    finally:
        pool.close(patience)
