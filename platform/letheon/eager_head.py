"""Ray's processes on this machine, without waiting for those that a command does not need at once.

`ray.init` starts them one after the other and waits for each: about two seconds go by until the dashboard serves. Here
it starts beside the rest, at the lowest priority, and two processes are left out: the autoscaler's monitor, for one
machine does not grow, and the log monitor, which sends workers' output to drivers that asked for it. Reaches into Ray
(`ray._private.node.Node`, as of 2.60); whatever else `ray.init` does stays as it is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from letheon.leisure import LOWEST_PRIORITY

log = logging.getLogger(__name__)

_BEFOREHAND = "--num_prestart_python_workers="
_NONE_BEFOREHAND = f"{_BEFOREHAND}0"

WAIT_SECONDS = 10.0
"""How long the end of a session waits for a dashboard that is still starting, to end it as well."""


@contextmanager
def eager_head(meanwhile: Callable[[], object]) -> Iterator[None]:
    """`ray.init` within the block, if it starts a head at all, does not wait for the dashboard, and calls `meanwhile`
    rather than to wait for a second until its other processes are up.

    When the block is left the dashboard's process has been started, with the environment that the block has.
    """
    from ray._private import node, services
    from ray._private.ray_constants import PROCESS_TYPE_DASHBOARD, PROCESS_TYPE_RAYLET

    modules: tuple[Any, Any] = node, services
    originals, begun = (node.Node, services.start_ray_process), threading.Event()

    def start_process(command: Any, process_type: str, *args: Any, **options: Any) -> Any:
        if process_type == PROCESS_TYPE_RAYLET:
            # Otherwise it would start a process for every core, and `ray.init` wait for all of them (0.6 s). They start
            # when there is something for them to do, which is at once.
            command = [_NONE_BEFOREHAND if part.startswith(_BEFOREHAND) else part for part in command]
        started = originals[1](command, process_type, *args, **options)
        if process_type == PROCESS_TYPE_DASHBOARD:
            begun.set()
        return started

    modules[0].Node, modules[1].start_ray_process = _eager(originals[0], begun, meanwhile), start_process
    try:
        yield
        begun.wait(WAIT_SECONDS)
    finally:
        modules[0].Node, modules[1].start_ray_process = originals


def _eager(base: Any, begun: threading.Event, meanwhile: Callable[[], object]) -> Any:
    from ray._private import services

    class EagerNode(base):  # type: ignore[misc]  # untyped
        def start_monitor(self) -> None:
            """One machine does not grow."""

        def start_log_monitor(self) -> None:
            """Nobody asked for workers' output."""

        def start_ray_processes(self) -> None:
            super().start_ray_processes()
            meanwhile()
            # Ray looks whether the node is there, and again a second later.
            with suppress(TimeoutError):  # of which Ray will have more to say
                services.wait_for_node(self.gcs_address, self._plasma_store_socket_name, int(WAIT_SECONDS))

        def start_api_server(self, **options: Any) -> None:
            self._up, self._over = threading.Event(), threading.Event()
            threading.Thread(
                target=self._serve, args=(super().start_api_server, options), name="ray-dashboard", daemon=True
            ).start()

        def _serve(self, start: Any, options: dict[str, Any]) -> None:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)  # the child's as well
            problem: Exception | None = None
            try:
                start(**options)
            except Exception as error:
                problem = error
            begun.set()
            self._up.set()
            if problem is not None and not self._over.wait(WAIT_SECONDS):  # or the session has ended meanwhile
                log.warning("Ray's dashboard could not be started, so its State API is missing: %s", problem)
            self._over.wait()  # the kernel ends the dashboard with the thread that has started it

        def kill_all_processes(self, *args: Any, **options: Any) -> None:
            self._up.wait(WAIT_SECONDS)
            super().kill_all_processes(*args, **options)
            self._over.set()

    return EagerNode
