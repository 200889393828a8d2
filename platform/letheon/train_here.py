"""Ray Train's controller as a thread of the process that asks for the run, where Ray would start an actor for it.

On one machine that actor saves nobody: whoever asks ends the run when it ends itself. It costs two processes, though,
itself and one that would clean up behind it, and workers begin only when it has imported Ray Train as well: two seconds
of a start, 200 MB for as long as it lives. Reaches into Ray Train (2.60).
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from threading import Event
from typing import Any

import ray
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.controller.state import AbortedState, TrainControllerState
from ray.train.v2._internal.execution.worker_group import state as group_state
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.train.v2.api.result import Result

from trainables.preload import collector_as_it_is


class ControllerHere:
    """Of one Train run. `run` lasts as long as the run does; `abandon`, from another thread, ends it."""

    def __init__(self, train_fn_ref: Any, **arguments: Any) -> None:
        """The arguments of Ray's own controller. Of `train_fn_ref` the content is kept: if the node is lost, Ray ends
        every process that owns something in its object store, without a word."""
        self._over, self._places = Event(), list[Any]()
        self._function = _function(train_fn_ref.get())
        train_fn_ref._ref = None
        self._arguments = arguments

    def run(self) -> Result:
        """Start workers, and others in the place of those that are lost, until their loop returns."""
        controller = _controller(self._over, self._places)(**self._arguments, train_fn_ref=self._function)
        asyncio.run(controller.run())
        result: Result = controller.get_result()
        return result

    def abandon(self) -> None:
        """End the workers, whatever they do. A group that is started meanwhile ends itself."""
        self._over.set()
        for place in self._places:
            place.shutdown()  # Ray ends what runs there


def _controller(over: Event, places: list[Any]) -> Any:
    class Group(worker_group.WorkerGroup):
        """Of workers that need no controller and no one to synchronise them."""

        _worker_cls = _worker_class()

        def _create_placement_group(self, *arguments: Any) -> Any:
            place = super()._create_placement_group(*arguments)
            places[:] = [place]
            if over.is_set():  # who set it may have looked before
                place.shutdown()
            return place

        @staticmethod
        def _get_worker_runtime_env(custom_runtime_env: Any) -> Any:
            """Processes of this node have this one's environment; any other takes longer to start."""
            return custom_runtime_env

        def _init_train_context_on_workers(self, workers: Any, sync_actor: Any, context: dict[str, list[Any]]) -> None:
            """As Ray's own, but for the handles of two actors, of which there are none."""
            ray.get(
                [
                    worker.actor.init_train_context.remote(
                        train_run_context=self._train_run_context,
                        distributed_context=worker.distributed_context,
                        synchronization_actor=None,
                        storage_context=self._storage_context,
                        worker_callbacks=self._worker_callbacks_to_propagate,
                        controller_actor=None,
                        **{name: values[i] for name, values in context.items()},
                    )
                    for i, worker in enumerate(workers)
                ]
            )
            self._decorate_worker_log_file_paths(workers)

    class Controller(TrainController):
        worker_group_cls = Group

        def _set_state(self, state: TrainControllerState) -> None:
            aborted: Any = AbortedState
            super()._set_state(aborted() if over.is_set() else state)

    return Controller


def _worker_class() -> Any:
    """Of processes elsewhere: here the collector stays as it is."""
    with collector_as_it_is():
        from letheon.train_worker import RayTrainWorker
    return RayTrainWorker


def _function(train: Any) -> Any:
    with collector_as_it_is():
        from letheon.train_worker import Function
    return Function(train)


class _Nobody:
    """In the place of an actor through which workers would wait for each other when they report to Ray Train. Resident
    workers report to their mailbox, and wait for each other in their process group."""

    def options(self, **_: Any) -> _Nobody:
        return self

    def remote(self, **_: Any) -> _Nobody:
        return self


def _let_go(actor: Any) -> None:
    if not isinstance(actor, _Nobody):
        ray.kill(actor)


_modules: tuple[Any, Any] = worker_group, group_state
_modules[0].SynchronizationActor, _modules[1]._shutdown_sync_actor = _Nobody(), _let_go


def log_to(file: Path) -> None:
    """What controllers of this process have to say goes to this file, not between the lines that the command prints."""
    logger = logging.getLogger("ray.train")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
