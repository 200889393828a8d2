"""The Train run of resident workers: Ray's trainer without the processes that only other uses of it need.

Reaches into Ray Train (2.60): one method of its trainer decides what a run has and starts its controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2.api.config import FailureConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from letheon.meeting import torch_config
from letheon.train_here import ControllerHere, log_to
from trainables.worker import serve

if TYPE_CHECKING:
    from letheon.resident import ResidentSettings


NODE_LABEL = "ray.io/node-id"  # which Ray gives every node
_NEEDLESS = (DatasetsCallback,)
"""An actor that would hand out shards of data sets, of which there are none."""

_NEEDLESS_HERE = (*_NEEDLESS, PlacementGroupCleanerCallback)
"""And one that would clean up behind an actor that has died: the controller is none."""


class ResidentTrainer(DataParallelTrainer):
    """Of workers that read no Ray Datasets, perhaps on nodes that are all there already (`fixed_nodes`)."""

    fixed_nodes = False
    controller: Any = None

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        """As Ray's own, but for the callbacks, the policy, and where the controller is."""
        needless = _NEEDLESS_HERE if self.fixed_nodes else _NEEDLESS
        arguments["callbacks"] = [each for each in arguments["callbacks"] if not isinstance(each, needless)]
        if self.fixed_nodes:
            arguments["scaling_policy"] = FixedNodes(self.train_run_context.scaling_config)
            self.controller = ControllerHere(**arguments)
            return self.controller.run()
        here = {NODE_LABEL: ray.get_runtime_context().get_node_id()}
        environment = {"env_vars": get_env_vars_to_propagate()}
        actor: Any = ray.remote(num_cpus=0, label_selector=here, runtime_env=environment)(TrainController)
        self.controller = actor.remote(**arguments)
        ray.get(self.controller.run.remote())
        return ray.get(self.controller.get_result.remote())

    def abandon(self) -> None:
        """End the run at once: `fit` returns or raises, the workers die."""
        if isinstance(self.controller, ControllerHere):
            self.controller.abandon()
        elif self.controller is not None:
            ray.kill(self.controller)  # and they with it


class FixedNodes(FixedScalingPolicy):
    """Asks no autoscaler for nodes, through an actor that would be started for it."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Nothing to register with."""

    def _maybe_send_resource_request(self) -> None:
        """Nobody to send it to."""


def trainer(name: str, settings: ResidentSettings) -> ResidentTrainer:
    """Its `fit()` lasts until the mailbox `name` is closed."""
    workers = settings.workers
    gpu = workers.gpus_per_worker > 0
    resources = {"CPU": workers.cpus_per_worker}
    if gpu:
        resources["GPU"] = workers.gpus_per_worker
    made = ResidentTrainer(
        serve,
        train_loop_config={
            "mailbox": name,
            "log": str(settings.logs / name),
            "threads": max(1, int(workers.cpus_per_worker)),
            "preload": settings.preload,
        },
        backend_config=torch_config("nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers.workers, use_gpu=gpu, resources_per_worker=resources),
        # Restarts are counted per job, by the mailbox: the run outlives many trials.
        run_config=RunConfig(
            name=name,
            storage_path=str(settings.storage),
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=3),
        ),
    )
    made.fixed_nodes = settings.fixed_nodes
    if settings.fixed_nodes:
        log_to(settings.logs / "train.log")
    return made
