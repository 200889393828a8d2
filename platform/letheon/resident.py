"""Resident workers: one long-lived Ray Train run that takes job after job through a mailbox.

Ray Train owns the processes, their placement, the process group and restarts. What a job does is in `trainables`;
who decides whether it goes on is in the slot.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letheon.mailbox import Mailbox, Report
from letheon.meeting import torch_config
from letheon.session import draining_nodes
from trainables.config import WorkersConfig
from trainables.worker import NAMESPACE, serve

POLL_SECONDS = 1.0
LOOK_SECONDS = 2.0
CLOSE_SECONDS = 30.0


@dataclass(frozen=True)
class ResidentSettings:
    """What all resident workers of a sweep have in common. `storage` is shared by all nodes."""

    workers: WorkersConfig
    storage: Path
    logs: Path


class ResidentWorkers:
    """Starts the Train run at once; `submit` hands it jobs."""

    def __init__(self, settings: ResidentSettings) -> None:
        import ray

        self.name = f"slot-{uuid.uuid4().hex[:8]}"
        # Not detached: the mailbox ends with the process that owns this object, whatever ends that one; and beside it,
        # for the nodes of workers come and go.
        actor: Any = ray.remote(Mailbox)
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        options = {"name": self.name, "namespace": NAMESPACE, "num_cpus": 0, "label_selector": here}
        self.mailbox: Any = actor.options(**options).remote(settings.workers.max_failures)
        self.error: BaseException | None = None
        self._looked = -LOOK_SECONDS
        self._left: set[str] = set()
        self._thread = threading.Thread(target=self._fit, args=(settings,), name=self.name, daemon=True)
        self._thread.start()

    def _fit(self, settings: ResidentSettings) -> None:
        try:
            _trainer(self.name, settings).fit()
        except BaseException as error:
            self.error = error

    def submit(self, job: dict[str, Any]) -> int:
        """Make this the current job; the one before is abandoned. Returns its generation."""
        import ray

        generation: int = ray.get(self.mailbox.submit.remote(job))
        return generation

    def run_epoch(self, generation: int, epoch: int, minutes: float | None = None) -> Report:
        """Allow `epoch` and wait for its report. After `minutes` the job fails and its worker is ended.

        Raises:
            RuntimeError: the Train run itself has ended.
        """
        import ray

        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.mailbox.grant.remote(generation, epoch)
        report = self.mailbox.take.remote(generation, epoch)
        while True:
            self._heed_notices()
            done, _ = ray.wait([report], timeout=POLL_SECONDS)
            if done:
                result: Report = ray.get(report)
                return result
            if not self._thread.is_alive():
                raise RuntimeError(f"the resident workers of {self.name} have ended: {self.error}") from self.error
            if deadline is not None and time.monotonic() > deadline:
                return self._give_up(generation, f"epoch {epoch} took longer than trial.epoch_minutes {minutes:g}")

    def _heed_notices(self) -> None:
        """Let the workers leave a node that will be gone soon, once."""
        import ray

        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if (noticed := draining_nodes() - self._left) and noticed & ray.get(self.mailbox.nodes.remote()):
            self._left |= noticed
            ray.get(self.mailbox.leave.remote())

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

    def close(self, patience: float = CLOSE_SECONDS) -> None:
        """Let the workers leave their loop, and wait (`patience` seconds) for the Train run to clean up behind them."""
        import ray

        ray.get(self.mailbox.close.remote())
        self._thread.join(patience)
        ray.kill(self.mailbox)


def _trainer(name: str, settings: ResidentSettings) -> Any:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import FailureConfig

    workers = settings.workers
    gpu = workers.gpus_per_worker > 0
    resources = {"CPU": workers.cpus_per_worker}
    if gpu:
        resources["GPU"] = workers.gpus_per_worker
    return TorchTrainer(
        serve,
        train_loop_config={
            "mailbox": name,
            "log": str(settings.logs / name),
            "threads": max(1, int(workers.cpus_per_worker)),
        },
        torch_config=torch_config("nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers.workers, use_gpu=gpu, resources_per_worker=resources),
        # Restarts are counted per job, by the mailbox: the run outlives many trials.
        run_config=RunConfig(
            name=name,
            storage_path=str(settings.storage),
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=3),
        ),
    )
