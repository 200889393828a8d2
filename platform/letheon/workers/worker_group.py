"""Resident workers: one long-lived Ray Train run that takes job after job through a mailbox.

Ray Train owns the processes, their placement, the process group and restarts. What a job does is in `trainables`;
who decides whether it goes on is in the slot. Whoever starts workers ends them; others may claim them meanwhile.
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
CLAIM_SECONDS = 5.0
"""How long it may take until Ray knows that a holder of workers has died."""


class WorkerGroup:
    """Resident workers as whoever gives them jobs sees them."""

    def __init__(self, name: str, mailbox: Any) -> None:
        self.name, self.mailbox = name, mailbox

    def submit(self, job: dict[str, Any]) -> int:
        """Make this the current job; the one before is abandoned. Returns its generation."""
        import ray

        generation: int = ray.get(self.mailbox.submit.remote(job))
        return generation

    def begin_epoch(self, generation: int, epoch: int) -> Any:
        """Allow `epoch`; returns a Ray reference to its report, or to `{"ended": reason}` if the Train run is over."""
        self.mailbox.grant.remote(generation, epoch)
        return self.mailbox.take.remote(generation, epoch)

    def run_epoch(self, generation: int, epoch: int, minutes: float | None = None) -> Report:
        """Allow `epoch` and wait for its report. After `minutes` the job fails and its worker is ended.

        Raises:
            RuntimeError: the Train run itself has ended.
        """
        import ray

        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        report = self.begin_epoch(generation, epoch)
        while True:
            done, _ = ray.wait([report], timeout=POLL_SECONDS)
            if done:
                result: Report = ray.get(report)
                if "ended" in result:
                    raise RuntimeError(f"the resident workers of {self.name} have ended: {result['ended']}")
                return result
            if deadline is not None and time.monotonic() > deadline:
                return self._give_up(generation, f"epoch {epoch} took longer than trial.epoch_minutes {minutes:g}")

    def _give_up(self, generation: int, reason: str) -> Report:
        """Fail the job and end the worker that may be stuck in it: Ray Train starts another one."""
        import ray

        worker = ray.get(self.mailbox.worker.remote())
        if worker is None:
            reason += "; no worker has begun: the cluster may lack free resources"
        ray.get(self.mailbox.fail.remote(generation, reason))
        if worker is not None:
            ray.kill(worker)
        return {"failed": reason}

    def close(self) -> None:
        """Give claimed workers back to who started them."""
        import ray

        ray.get(self.mailbox.release.remote(_own_id()))

    def free(self) -> None:
        """Give claimed workers back, and what they hold to Ray."""
        import ray

        ray.get(self.mailbox.close.remote())


class OwnedWorkerGroup(WorkerGroup):
    """Workers that this process has started, and ends. `submit` hands them jobs from the first moment on."""

    def __init__(self, settings: WorkerSettings, after: OwnedWorkerGroup | None = None) -> None:
        """`after`: begin only when these are ready; imports of several at a time would only slow each other down."""
        import ray

        name = f"slot-{uuid.uuid4().hex[:8]}"
        # Not detached: the mailbox ends with the process that owns this object, whatever ends that one; and beside it,
        # for the nodes of workers come and go.
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
                    ray.get(after.mailbox.when_ready.remote())
            if not self._closing:
                from letheon.workers.trainer import trainer

                trainer(self.name, settings).fit()
        except BaseException as error:
            self.error, reason = error, f"{type(error).__name__}: {error}"
        with suppress(Exception):  # Ray itself may be gone
            ray.get(self.mailbox.end.remote(reason))

    def begin_close(self) -> None:
        """Let the workers leave their loop; `close` waits for it."""
        self._closing = True
        self.mailbox.close.remote()

    def close(self, patience: float = CLOSE_SECONDS) -> None:
        """Let the workers leave their loop, and wait (`patience` seconds) for the Train run to clean up behind them.

        Workers that are too busy for that are ended. Ray Train then starts others, which find the mailbox closed.
        """
        import ray

        self.begin_close()
        self._thread.join(patience)
        if not self._thread.is_alive():
            ray.kill(self.mailbox)
        elif (worker := ray.get(self.mailbox.worker.remote())) is not None:
            ray.kill(worker)


def claimed(names: Sequence[str], wait: bool = False) -> WorkerGroup | None:
    """The first of these workers that nobody else has, or whose holder is dead; None if there are none.

    `wait`: until others give some back, while there are any that have not ended. They hold all that there is.
    """
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        workers, held = _claim_once(names)
        if workers is not None or not held or (not wait and time.monotonic() > deadline):
            return workers
        time.sleep(POLL_SECONDS)


def _claim_once(names: Sequence[str]) -> tuple[WorkerGroup | None, bool]:
    """Workers, and if there are none whether others have any."""
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

    here = ray.get_runtime_context().gcs_address  # this user may have other sessions on this machine
    try:
        actor: Any = get_actor(actor_id, address=here)
    except Exception:  # whoever cannot be asked about may be alive
        return False
    return actor is not None and actor.state == "DEAD"
