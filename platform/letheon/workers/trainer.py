"""The Ray Train run of one worker group."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback

from letheon.workers.process_group import TorchGroupConfig
from trainables.ray_train import NAMESPACE, serve

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

    from letheon.workers.settings import WorkerSettings


@dataclass(frozen=True)
class EndOnceClosed(UserCallback):
    """Ends the Train run when a worker is lost after the mailbox was closed; Ray Train would start another one.

    Ray Train calls it in the process of its controller, whose workers and placement group end with it.
    """

    mailbox: str

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        import ray

        try:
            mailbox: Any = ray.get_actor(self.mailbox, namespace=NAMESPACE)
            is_open = ray.get(mailbox.is_open.remote())
        except (ValueError, ray.exceptions.RayActorError):
            is_open = False  # its process has ended
        if not is_open:
            os._exit(0)


def trainer(name: str, settings: WorkerSettings) -> TorchTrainer:
    """A trainer whose `fit()` returns once the mailbox `name` is closed."""
    from ray.train.torch import TorchTrainer  # imports torch

    workers = settings.workers
    gpu = workers.gpus_per_worker > 0
    resources = {"CPU": workers.cpus_per_worker}
    if gpu:
        resources["GPU"] = workers.gpus_per_worker
    group: Any = TorchGroupConfig("nccl" if gpu else "gloo", log=settings.logs / "train.log")
    return TorchTrainer(
        serve,
        train_loop_config={
            "mailbox": name,
            "log": str(settings.logs / name),
            "threads": max(1, int(workers.cpus_per_worker)),
            "preload": settings.preload,
            "watch": not settings.fixed_nodes,
            "plugins": [plugin.model_dump() for plugin in settings.plugins],
        },
        torch_config=group,
        scaling_config=ScalingConfig(num_workers=workers.workers, use_gpu=gpu, resources_per_worker=resources),
        # The mailbox counts restarts per job, since the run outlives many trials.
        run_config=RunConfig(
            name=name,
            storage_path=str(settings.storage),
            callbacks=cast(Any, [EndOnceClosed(name)]),
            failure_config=cast(Any, FailureConfig)(max_failures=-1, controller_failure_limit=3),
        ),
    )
