"""The resident workers of one command: they prepare, search and attack, one job after the other in the same processes.

Started once and as early as possible; what they have imported, loaded and joined serves all that follows. What the jobs
are is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.common.stop_request import StopRequest
from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import CLOSE_SECONDS, OwnedWorkerGroup

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from trainables.config import Frozen

ABANDON_SECONDS = 0.5
"""How long workers may take to leave their loop when their job is of no use any more; then they are ended."""

POLL_SECONDS = 0.2
"""How often a request to stop is looked for while reports are awaited."""

CPUS_TO_START = 2.0
"""What a group of workers keeps busy while it starts: its own imports, and those of the processes around it."""


def resident_settings(spec: SweepSpec, folder: Path, joined: bool) -> WorkerSettings:
    """Of the workers of a command that keeps its logs below `folder`."""
    from trainables.synthetic.name import SYNTHETIC

    workers, preload = spec.trial.workers_config, spec.benchmark.name != SYNTHETIC
    return WorkerSettings(workers, folder / "train", folder / "logs", preload, fixed_nodes=not joined)


@dataclass
class Ready:
    """Called: how many of the groups with these mailboxes have begun to take jobs; never less than one. Picklable."""

    mailboxes: list[Any]
    count: int = 1

    def __call__(self) -> int:
        import ray

        while self.count < len(self.mailboxes) and ray.get(self.mailboxes[self.count].is_ready.remote()):
            self.count += 1
        return self.count


class Pool:
    """Starts workers when it is asked for them, never more than `most` groups."""

    def __init__(self, settings: WorkerSettings, most: int, at_once: int, stop: StopRequest | None = None) -> None:
        """`at_once`: how many groups may be starting at the same time. `stop`: ends `run` when it is requested."""
        self._settings, self._most, self._at_once, self._stop = settings, most, at_once, stop or StopRequest()
        self._groups: list[OwnedWorkerGroup] = []

    @property
    def names(self) -> list[str]:
        """By which slots claim the workers that there are."""
        return [group.name for group in self._groups]

    @property
    def settings(self) -> WorkerSettings:
        return self._settings

    @property
    def ready(self) -> Ready:
        """How many groups are ready now, for whoever would give them trials."""
        return Ready([group.mailbox for group in self._groups])

    def grow(self, count: int) -> None:
        """Have `count` groups, or as many as there may be. Returns at once, while they start one after the other."""
        while len(self._groups) < min(count, self._most):
            started = len(self._groups)
            after = self._groups[started - self._at_once] if started >= self._at_once else None
            self._groups.append(OwnedWorkerGroup(self._settings, after))

    def run(
        self, jobs: Mapping[str, Frozen], needs: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Do all jobs; their keys and reports as they come. A job that failed reports `failed`.

        They are begun in their order, but for those that wait for others (`needs`: key -> keys that must be done).

        Raises:
            Stopped: there is a request to stop; running jobs are left as they are, for `close`.
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
        """Forget groups that a slot has given back to Ray, or that have ended."""
        import ray

        kept = [group for group in self._groups if ray.get(group.mailbox.is_open.remote())]
        for group in self._groups:
            if group not in kept:
                group.close()
        self._groups = kept

    def close(self, patience: float) -> None:
        """End all workers at the same time, and wait for what Ray Train does then. Those that are still busy after
        `patience` seconds are killed."""
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
    """Workers for the length of the block, on a Ray that is there: at most `slots` groups, with logs below `folder`.

    `joined`: Ray is a cluster that others have started, which may grow. After an error, and after a request to `stop`,
    nobody waits for what they do.
    """
    from letheon.cluster.session import node_resources

    cpus = sum(node.get("CPU", 0.0) for node in node_resources())
    pool = Pool(resident_settings(spec, folder, joined), slots, max(1, int(cpus // CPUS_TO_START)), stop)
    patience = CLOSE_SECONDS
    try:
        yield pool
    except BaseException:
        patience = ABANDON_SECONDS
        raise
    finally:
        pool.close(patience)
