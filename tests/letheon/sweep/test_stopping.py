"""Real drivers are stopped: while Ray starts, in preparation, in search, in a hanging epoch, in an audit.

Each exits with code 130 and prints the command to resume; its journal has the cause, no process is left, and `resume`
does the rest. `benchmarks/stopping.py` measures how long stopping takes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import Journal
from tests.faults.support import FaultySweep
from tests.letheon.small_sweep import letheon, processes_of, start, wait_for, write_space

SPACE = """\
name: small
benchmark: {name: fictional, people: 4, evaluation_rows: 4}
model: {base: tiny, recipe: {epochs: 12}}
evaluation: {max_new_tokens: 8}
search: {method: npo_rt, forget_fraction: 0.5, learning_rate: 4.0e-4, beta: 0.1}
constraints: {audit_worst_forget_rouge: {max: 1.0}}
scheduler: {name: none, max_epochs: 4, collapse: null}
budget: {trials: 1}
trial: {batch_size: 8}
audit: {attacks: [relearn, nf4], rows: 4, relearn_steps: 1, relearn_checks: 1}
"""
EXIT_INTERRUPTED = 130
PATIENCE = 240

pytestmark = pytest.mark.timeout(1800)  # several starts of Ray; a minute and a half on two idle cores


class Driver:
    """A root below `folder` and the drivers of its only sweep, one after another."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log = folder / "root", folder / "driver.log"
        self.space = write_space(folder, SPACE)
        self.place = self.root / "sweeps" / "small"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in Journal.read(self.place / "journal.jsonl")]

    def jobs(self, kind: str) -> int:
        """How many jobs of this kind workers have started."""
        logs = [*self.place.glob("logs/*rank0.log"), *self.root.glob("prepare/logs/*rank0.log")]
        return sum(log.read_text(errors="replace").count(f"{kind} taken") for log in logs)

    def reports(self) -> int:
        return sum(row["kind"] == "report" for row in self.rows)

    def stopped(self, *verb: str | Path, once: Callable[[], int], by: Callable[[Any], object]) -> str:
        """Start a command, stop it `by` this function `once` this number grows; its output. No process is left."""
        before = once()
        driver = start(*verb, root=self.root, log=self.log)
        wait_for(lambda: once() > before, driver, PATIENCE)
        by(driver)
        assert driver.wait(PATIENCE) == EXIT_INTERRUPTED, self.log.read_text()
        wait_for_no_process(self.root)
        printed = self.log.read_text()
        assert "Traceback" not in printed
        return printed


def ctrl_c(driver: subprocess.Popen[bytes]) -> None:
    """Signal every process of the group, as a terminal does."""
    os.killpg(driver.pid, signal.SIGINT)


def terminate(driver: subprocess.Popen[bytes]) -> None:
    os.kill(driver.pid, signal.SIGTERM)


def wait_for_no_process(place: Path) -> None:
    """Ray's last processes may end a moment after the driver."""
    wait_for(lambda: not processes_of(place), seconds=PATIENCE)


@pytest.mark.slow
def test_a_sweep_is_stopped_in_every_phase_and_resumed(tmp_path: Path) -> None:
    driver = Driver(tmp_path)

    output = driver.stopped("prepare", driver.space, once=lambda: driver.jobs("finetune"), by=terminate)
    assert "stopping (SIGTERM" in output and "continue with: the same command" in output
    assert any(driver.root.glob("models/base-*/prepared.json")) and not any(driver.root.glob("models/target-*"))

    def letheon_stop(_: object) -> None:
        done = letheon("stop", "small", root=driver.root)
        assert "small has stopped" in done.stdout, done.stderr

    output = driver.stopped("sweep", driver.space, once=lambda: driver.jobs("finetune"), by=letheon_stop)
    assert f"letheon resume small --root {driver.root}" in output
    assert driver.rows[-1] | {"state": "interrupted", "detail": "stopped by SIGTERM"} == driver.rows[-1]
    assert not any(row["kind"] == "trial" for row in driver.rows)
    status = json.loads(letheon("status", "small", "--json", root=driver.root).stdout)
    assert (status["state"], status["detail"]) == ("interrupted", "stopped by SIGTERM")

    driver.stopped("resume", "small", once=driver.reports, by=ctrl_c)
    assert driver.rows[-1] | {"state": "interrupted", "detail": "stopped by Ctrl-C"} == driver.rows[-1]
    assert not any(row["kind"] == "end" for row in driver.rows)

    driver.stopped("resume", "small", once=lambda: driver.jobs("audit"), by=terminate)
    assert driver.rows[-1] | {"state": "interrupted", "detail": "stopped by SIGTERM"} == driver.rows[-1]
    assert sum(row["kind"] == "end" for row in driver.rows) == 1

    done = letheon("resume", "small", root=driver.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert driver.rows[-1]["state"] == "finished"
    assert [row["epoch"] for row in driver.rows if row["kind"] == "report"] == [1, 2, 3, 4]
    assert {row["trial"] for row in driver.rows if row["kind"] == "audit"} == {"retain-0.5", "t000"}


@pytest.fixture
def faulty(tmp_path: Path) -> FaultySweep:
    """One trial, whose second epoch hangs once in C, so no signal handler and no thread of its worker runs."""
    return FaultySweep(tmp_path, trials=1, epochs=3, faults={"t000": {"fault": "hang", "epoch": 2, "times": 1}})


@pytest.mark.slow
def test_a_stop_does_not_wait_for_an_epoch_that_hangs(faulty: FaultySweep) -> None:
    with faulty.started("sweep", faulty.space) as driver:
        hangs = Path(f"{faulty.plan}.t000")
        wait_for(hangs.exists, driver, PATIENCE)
        terminate(driver)
        assert driver.wait(PATIENCE) == EXIT_INTERRUPTED, faulty.output.read_text()
    wait_for_no_process(faulty.plan)
    assert faulty.rows[-1]["detail"] == "stopped by SIGTERM"
    assert [row["epoch"] for row in faulty.kind("report")] == [1] and not faulty.ends
    done = faulty.run("resume", faulty.name)
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: the only trial may have no feasible point
    assert [row["epoch"] for row in faulty.kind("report")] == [1, 2, 3]


def test_sigterm_while_ray_starts_is_a_request_to_stop(faulty: FaultySweep) -> None:
    with faulty.started("sweep", faulty.space) as driver:
        wait_for(lambda: bool(faulty.rows), driver, PATIENCE)
        terminate(driver)
        assert driver.wait(PATIENCE) == EXIT_INTERRUPTED, faulty.output.read_text()
    wait_for_no_process(faulty.plan)
    assert [row["state"] for row in faulty.kind("sweep")] == ["preparing", "interrupted"]
    assert "Traceback" not in faulty.output.read_text()
