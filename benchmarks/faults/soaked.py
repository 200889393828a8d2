"""A sweep of tiny trials through the real command, its driver and worker to be killed; and a tracking server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from letheon.journal import Journal, lock_holder

SPACE = """\
name: {name}
benchmark: {{name: synthetic}}
search:
  method: {{choice: [npo, npo_rt, ga_rt]}}
  forget_fraction: 1.0
  learning_rate: {{loguniform: [1.0e-3, 1.0e-2]}}
  beta: {{loguniform: [0.1, 2.0]}}
  retain_weight: {{uniform: [0.5, 2.0]}}
scheduler: {{max_epochs: 8, grace_epochs: 2, reduction_factor: 2}}
searcher: {{name: surrogate, startup_trials: 4}}
budget: {{trials: {trials}}}
trial: {{cpus_per_worker: {cpus}, max_failures: 100}}
seeds: [1]
"""


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """True once the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {seconds:.0f} s")
        time.sleep(0.02)
    return True


class Soaked:
    """One sweep in a root of its own; one worker takes all CPUs, so that there is one slot.

    `environment`: of the command. `address`: the cluster it runs on; none: a Ray of its own.
    """

    def __init__(self, folder: Path, trials: int, environment: Mapping[str, str], address: str | None = None) -> None:
        self.folder, self.name = folder, folder.name
        self.space, self.root = folder / f"{self.name}.yaml", folder / "root"
        folder.mkdir()
        cpus = len(os.sched_getaffinity(0))
        self.space.write_text(SPACE.format(name=self.name, trials=trials, cpus=cpus))
        self.place = self.root / "sweeps" / self.name
        self._environment = dict(environment)
        self._options = ["--root", str(self.root), *(["--address", address] if address else [])]
        self._driver: subprocess.Popen[bytes] | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        return Journal.read(self.place / "journal.jsonl")

    @property
    def reports(self) -> int:
        file = self.place / "journal.jsonl"
        return file.read_bytes().count(b'"kind":"report"') if file.exists() else 0

    @property
    def said(self) -> str:
        """The end of what its drivers printed."""
        return (self.folder / "driver.log").read_text(errors="replace")[-4000:]

    def begin(self) -> None:
        self._start("sweep", str(self.space))

    def resume(self) -> None:
        self._start("resume", self.name)

    def _start(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "letheon"), *arguments, *self._options]
        with (self.folder / "driver.log").open("ab") as log:
            self._driver = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    @property
    def over(self) -> bool:
        return self.code is not None

    @property
    def code(self) -> int | None:
        """How the driver ended; None while it runs."""
        return None if self._driver is None else self._driver.poll()

    @property
    def driver(self) -> int | None:
        """Its process, while it runs."""
        return None if self._driver is None or self.over else self._driver.pid

    @property
    def worker(self) -> int | None:
        """The process of the resident worker, known by its log file; None if there is none now."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                log = os.readlink(process / "fd" / "1")
                if log.startswith(str(self.place / "logs")) and log.endswith("-rank0.log"):
                    return int(process.name)
        return None

    @property
    def raylet(self) -> int | None:
        """The driver's own node manager; None if it runs on somebody else's cluster."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.driver and os.readlink(process / "exe").endswith("raylet"):
                    return int(process.name)
        return None

    def kill_driver(self) -> bool:
        """SIGKILL, and wait until the kernel has taken its lock away."""
        if self._driver is None or self.over:
            return False
        self._driver.kill()
        self._driver.wait()
        return lock_holder(self.place) is None

    @property
    def tracking_is_ok(self) -> bool:
        try:
            return bool(json.loads((self.place / "tracking.json").read_bytes())["state"] == "ok")
        except (OSError, ValueError):
            return False


def kill(process: int | None) -> bool:
    """SIGKILL; False if there is no such process (any more)."""
    if process is None:
        return False
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Server:
    """`mlflow server` on a free port; its files outlive it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.uri, self._folder, self.database = f"http://127.0.0.1:{self.port}", folder, folder / "mlflow.db"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self._answers, 120)

    def _answers(self) -> bool:
        try:
            urlopen(f"{self.uri}/health", timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """SIGKILL of the server and its own workers, in the middle of whatever they were writing."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
