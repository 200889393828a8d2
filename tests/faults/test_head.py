"""The head node of a cluster dies during a sweep, with its driver; then again, with its disk.

Each time a new head is started and the sweep resumed from the root on shared storage. The head's own disk has Ray's
files and the tracking store (SQLite).
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.support import FaultySweep
from tests.letheon.cluster_process import Nodes, nodes
from tests.letheon.servers import free_port
from tests.letheon.small_sweep import wait_for
from tests.letheon.tracking.tracking_support import recorded_epochs

TRIALS, EPOCHS = 3, 4
HELD = {"fault": "hold", "epoch": 3}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySweep]:
    """The finished sweep; the root and the disk of each head are separate folders."""
    sweep = FaultySweep(tmp_path_factory.mktemp("head"), TRIALS, EPOCHS, {"t000": HELD, "t001": HELD})
    lose_head(sweep, "first", "t000", "sweep", str(sweep.space))
    (sweep.folder / "running.log").write_text("\n".join(sweep.processes()))
    lose_head(sweep, "first", "t001", "resume", sweep.name)
    shutil.rmtree(sweep.folder / "first")
    with head(sweep, "second") as (cluster, environment):
        done = sweep.run("resume", sweep.name, "--address", cluster.address, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        yield sweep


@contextmanager
def head(sweep: FaultySweep, disk: str) -> Iterator[tuple[Nodes, Mapping[str, str]]]:
    """A head with its disk, and the environment of a driver on it."""
    folder = sweep.folder / disk
    folder.mkdir(exist_ok=True)
    with nodes(folder, free_port(), environment=sweep.environment) as cluster:
        yield cluster, {**cluster.environment, "MLFLOW_TRACKING_URI": store(sweep, disk)}


def store(sweep: FaultySweep, disk: str) -> str:
    return f"sqlite:///{sweep.folder / disk / 'mlflow.db'}"


def lose_head(sweep: FaultySweep, disk: str, held: str, *arguments: str) -> None:
    """Kill the driver and every process of Ray while a trial holds in its third epoch."""
    with (
        head(sweep, disk) as (cluster, environment),
        sweep.started(*arguments, "--address", cluster.address, environment=environment) as driver,
    ):
        wait_for(lambda: sweep.has_reported(held, 2), driver)
        os.kill(driver.pid, signal.SIGKILL)
        cluster.die()
        driver.wait(30)
    sweep.wait_until_gone(180)  # Ray's agents call the dead head for a minute before they end
    sweep.release(held)


def test_no_process_of_a_dead_head_is_left(sweep: FaultySweep) -> None:
    assert (sweep.folder / "running.log").read_text() == ""


def test_every_trial_and_epoch_is_journalled_once(sweep: FaultySweep) -> None:
    assert {trial: row["outcome"] for trial, row in sweep.ends.items()} == {
        f"t{i:03d}": "completed" for i in range(TRIALS)
    }
    reports = [(row["trial"], row["epoch"]) for row in sweep.kind("report")]
    assert reports == [(f"t{i:03d}", epoch) for i in range(TRIALS) for epoch in range(1, EPOCHS + 1)]


def test_an_empty_tracking_store_gets_everything(sweep: FaultySweep) -> None:
    """Including trials that ended before the disk was lost."""
    assert not Path(sweep.folder / "first").exists()
    found = recorded_epochs(store(sweep, "second"), sweep.name, "forget_kl")
    assert found == {f"t{i:03d}": list(range(1, EPOCHS + 1)) for i in range(TRIALS)}
