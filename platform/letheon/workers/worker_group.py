"""Worker groups: each is one long-lived Ray Train run that takes job after job through a mailbox.

Ray Train owns the processes, their placement, the process group and restarts; `trainables` runs the jobs. The process
that starts a group ends it; others may claim it meanwhile.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from letheon.workers.mailbox import Mailbox, Report
from letheon.workers.settings import WorkerSettings
from trainables.ray_train import NAMESPACE

POLL_SECONDS = 1.0
CLOSE_SECONDS = 30.0
END_SECONDS = 3.0
"""How long a Train run may take to end once its busy worker was killed."""
CLAIM_SECONDS = 5.0
"""How long Ray may take to notice that a holder of workers has died."""


class WorkerGroup:
    """A driver's handle of a worker group."""

    def __init__(self, name: str, mailbox: Any) -> None:
        self.name, self.mailbox = name, mailbox

    def submit(self, job: dict[str, Any]) -> int:
        """Make this the current job; the previous one is abandoned. Returns its generation."""
        import ray

        generation: int = ray.get(self.mailbox.submit.remote(job))
        return generation

    def begin_epoch(self, generation: int, epoch: int) -> Any:
        """Grant `epoch`. Returns a Ray reference to its report, or to `{"ended": reason}` if the Train run is over."""
        self.mailbox.grant.remote(generation, epoch)
        return self.mailbox.wait_for_report.remote(generation, epoch)

    def run_epoch(self, generation: int, epoch: int, minutes: float | None = None) -> Report:
        """Grant `epoch` and wait for its report. After `minutes` the job fails and its worker is killed.

        Raises:
            RuntimeError: the Train run has ended.
        """
        import ray

        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        report = self.begin_epoch(generation, epoch)
        while True:
            done, _ = ray.wait([report], timeout=POLL_SECONDS)
            if done:
                result: Report = ray.get(report)
                if "ended" in result:
                    raise RuntimeError(f"the workers of {self.name} have ended: {result['ended']}")
                return result
            if deadline is not None and time.monotonic() > deadline:
                return self._abort(generation, f"epoch {epoch} took longer than trial.epoch_minutes {minutes:g}")

    def _abort(self, generation: int, reason: str) -> Report:
        """Fail the job and kill the worker that may hang in it; Ray Train starts another one."""
        import ray

        worker = ray.get(self.mailbox.worker.remote())
        if worker is None:
            reason += "; no worker has started: the cluster may lack free resources"
        ray.get(self.mailbox.fail.remote(generation, reason))
        if worker is not None:
            ray.kill(worker)
        return {"failed": reason}

    def close(self) -> None:
        """Give claimed workers back to the process that started them."""
        import ray

        ray.get(self.mailbox.release.remote(_own_id()))

    def free(self) -> None:
        """End claimed workers, so that Ray can use their resources."""
        import ray

        ray.get(self.mailbox.close.remote())


class OwnedWorkerGroup(WorkerGroup):
    """A worker group that this process starts and ends. It accepts jobs at once, before the workers are up."""

    def __init__(self, settings: WorkerSettings, after: OwnedWorkerGroup | None = None) -> None:
        """`after`: start once this group is ready, since parallel imports slow each other down."""
        import ray

        name = f"{settings.prefix}{uuid.uuid4().hex[:8]}"
        # Not detached: the mailbox ends with the process that owns this object, however that ends. On its node, since
        # the nodes of workers may leave.
        actor: Any = ray.remote(Mailbox)
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        options = {"name": name, "namespace": NAMESPACE, "num_cpus": 0, "label_selector": here}
        super().__init__(name, actor.options(**options).remote(settings.workers.max_failures))
        self.error: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._fit, args=(settings, after), name=name, daemon=True)
        self._thread.start()

    def _fit(self, settings: WorkerSettings, after: OwnedWorkerGroup | None) -> None:
        import ray

        reason = "the Train run was closed"
        try:
            if after is not None:
                with suppress(ray.exceptions.RayError):
                    ray.get(after.mailbox.wait_until_ready.remote())
            if not self._closing:
                from letheon.workers.trainer import trainer

                trainer(self.name, settings).fit()
        except BaseException as error:
            self.error, reason = error, f"{type(error).__name__}: {error}"
        with suppress(Exception):  # Ray may end meanwhile
            if ray.is_initialized():
                ray.get(self.mailbox.end.remote(reason))

    def close(self, patience: float = CLOSE_SECONDS) -> None:
        """Let the workers leave their loop, and wait up to `patience` seconds for the Train run to clean up.

        Workers that are still busy are killed, and the Train run ends with them (`trainer.EndOnceClosed`). A run that
        has not started any yet starts them later; they find the mailbox closed.
        """
        import ray

        self._closing = True
        self.mailbox.close.remote()
        self._thread.join(patience)
        if not self._thread.is_alive():
            ray.kill(self.mailbox)
        elif (worker := ray.get(self.mailbox.worker.remote())) is not None:
            ray.kill(worker)
            self._thread.join(END_SECONDS)  # Python may crash at its end while a thread is inside of Ray


def claim_workers(names: Sequence[str], wait: bool = False) -> WorkerGroup | None:
    """Claim the first of these groups that is free or whose holder is dead; None if there is none.

    `wait`: wait for a holder to give one back, as long as any group has not ended.
    """
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        workers, held = _claim_once(names)
        if workers is not None or not held or (not wait and time.monotonic() > deadline):
            return workers
        time.sleep(POLL_SECONDS)


def _claim_once(names: Sequence[str]) -> tuple[WorkerGroup | None, bool]:
    """A claimed group or None, and whether any group is held, by this process or others."""
    import ray

    me, held = _own_id(), []
    for name in names:
        try:
            mailbox: Any = ray.get_actor(name, namespace=NAMESPACE)
            holder = ray.get(mailbox.claim.remote(me))
        except (ValueError, ray.exceptions.RayActorError):
            continue  # ended
        if holder == me:
            return WorkerGroup(name, mailbox), True
        if holder is not None:
            held.append((name, mailbox, holder))
    for name, mailbox, holder in held:
        if _is_dead(holder) and ray.get(mailbox.claim.remote(me, holder)) == me:
            return WorkerGroup(name, mailbox), True
    return None, bool(held)


def _own_id() -> str:
    import ray

    return ray.get_runtime_context().get_actor_id() or "driver"


def _is_dead(actor_id: str) -> bool:
    import ray
    from ray.util.state import get_actor

    here = ray.get_runtime_context().gcs_address  # the user may have other sessions on this machine
    try:
        actor: Any = get_actor(actor_id, address=here)
    except Exception:  # without an answer it may be alive
        return False
    return actor is not None and actor.state == "DEAD"
