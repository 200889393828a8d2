"""Collects what the driver and the worker groups do now, and writes it to `progress.json` every few seconds.

A thread of its own, so that neither a slow store nor a busy driver delays it. It only asks mailboxes, and loses nothing
by failing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from letheon.common.disk import is_full
from letheon.journal.activity import NAME, Activity, work_of, write_activity
from trainables.ray_train import NAMESPACE

PERIOD_SECONDS = 2.0
ANSWER_SECONDS = 5.0


class Board:
    """Writes while it is open (`with`); the file is deleted at the end. `folder`: where the file goes.

    `driver`: what the driver does now.
    """

    def __init__(self, folder: Path, driver: str) -> None:
        self._folder = folder
        self._now = Activity(driver)
        self._began = time.time()  # what the driver does
        self._prefix: str | None = None
        self._mailboxes: dict[str, Any] = {}
        self._lock, self._asking, self._stop = threading.Lock(), threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="letheon-board", daemon=True)

    def __enter__(self) -> Board:
        self._change()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        with suppress(OSError):
            (self._folder / NAME).unlink(missing_ok=True)

    def driver(self, text: str | None) -> None:
        """What the driver itself does from now on; None: it waits for workers."""
        self._began = time.time()
        self._change(driver=text)

    def artifacts(self, ready: Mapping[str, bool]) -> None:
        """Everything that a preparation makes, in its order, and whether it is ready; empty: it is over."""
        self._change(artifacts=tuple(ready.items()))

    @contextmanager
    def watching(self, prefix: str) -> Iterator[None]:
        """Within the block the driver waits for worker groups with this prefix, whose mailboxes are asked.

        For use in a Ray session.
        """
        self.driver(None)
        self._prefix = prefix
        try:
            yield
        finally:
            with self._asking:  # Ray may end once this returns
                self._prefix, self._mailboxes = None, {}
            self._change(work=())
            self.driver("ending the workers")

    def _change(self, **facts: Any) -> None:
        with self._lock:
            now = time.time()
            self._now = replace(self._now.at(now), driver_seconds=now - self._began, **facts)
            try:
                write_activity(self._folder, self._now)
            except OSError as error:
                if not is_full(error):  # a full disk ends the sweep elsewhere
                    raise

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            with suppress(Exception):  # Ray may end, and workers are replaced
                with self._asking:
                    found = [] if self._prefix is None else self._ask(self._prefix)
                self._change(work=tuple(work_of(one, time.time()) for one in found if one is not None))

    def _ask(self, prefix: str) -> list[dict[str, Any] | None]:
        """What the mailboxes say; those that do not answer in time, or have ended, are left out."""
        import ray

        named: list[Any] = ray.util.list_named_actors(all_namespaces=True)
        names = sorted(one["name"] for one in named if one["namespace"] == NAMESPACE and one["name"].startswith(prefix))
        for name in names:
            if name not in self._mailboxes:
                with suppress(ValueError):  # ended meanwhile
                    self._mailboxes[name] = ray.get_actor(name, namespace=NAMESPACE)
        asked = [self._mailboxes[name].activity.remote() for name in names if name in self._mailboxes]
        answers, _ = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_SECONDS) if asked else ([], [])
        found = []
        for answer in answers:
            with suppress(ray.exceptions.RayError):
                found.append(ray.get(answer))
        return found
