"""The Ray Train run of one worker group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ray.train import FailureConfig, RunConfig, ScalingConfig

from letheon.workers.process_group import TorchGroupConfig
from trainables.ray_train import serve

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

    from letheon.workers.settings import WorkerSettings


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
            failure_config=cast(Any, FailureConfig)(max_failures=-1, controller_failure_limit=3),
        ),
    )
