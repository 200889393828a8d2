"""Nodes leave with notice, as spot machines do, during one sweep on a real cluster that allows no failure."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.support import FaultySweep
from tests.letheon.cluster_process import Nodes, nodes
from tests.letheon.servers import free_port
from tests.letheon.small_sweep import wait_for

TRIALS, EPOCHS = 2, 4
HELD = {"fault": "hold", "epoch": 2}
HEARD_SECONDS = 10.0
"""Nothing shows that a notice was received; workers check every two seconds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySweep]:
    """The finished sweep: t000 could finish its epoch before its node was removed, t001 could not."""
    sweep = FaultySweep(tmp_path_factory.mktemp("nodes"), TRIALS, EPOCHS, {"t000": HELD, "t001": HELD})
    with nodes(sweep.folder, free_port(), head_cpus=0, environment=sweep.environment) as cluster:
        cluster.send("add")
        take_nodes_away(sweep, cluster)
        yield sweep


def take_nodes_away(sweep: FaultySweep, cluster: Nodes) -> None:
    arguments = ("sweep", sweep.space, "--address", cluster.address, "--set", "trial.max_failures=0")
    with sweep.started(*arguments, environment=cluster.environment) as driver:
        wait_for(lambda: sweep.has_reported("t000", 1), driver)
        cluster.send("notice")
        time.sleep(HEARD_SECONDS)
        cluster.send("add")
        sweep.release("t000")
        wait_for(lambda: sweep.has_reported("t000", 3), driver)
        cluster.send("gone")  # long after the trial has left it

        wait_for(lambda: sweep.has_reported("t001", 1), driver)
        cluster.send("notice")
        time.sleep(HEARD_SECONDS)
        cluster.send("gone")
        cluster.send("add")
        sweep.release("t001")
        assert driver.wait(300) == 0, sweep.output.read_text()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySweep]:
    """A finished sweep of two trials, each on its own node until one of the nodes was lost for good."""
    sweep = FaultySweep(tmp_path_factory.mktemp("crowded"), TRIALS, EPOCHS, {"t000": HELD, "t001": HELD})
    with nodes(sweep.folder, free_port(), head_cpus=0, environment=sweep.environment) as cluster:
        cluster.send("add")
        cluster.send("add")
        with sweep.started(
            "sweep", sweep.space, "--address", cluster.address, environment=cluster.environment
        ) as driver:
            wait_for(lambda: sweep.has_reported("t000", 1) and sweep.has_reported("t001", 1), driver)
            cluster.send("kill")
            wait_for(lambda: workers(sweep) == 1, driver)  # a worker outlives its node long enough for a trial
            sweep.release("t000")
            sweep.release("t001")
            assert driver.wait(300) == 0, sweep.output.read_text()
        yield sweep


def workers(sweep: FaultySweep) -> int:
    return sum("RayTrainWorker" in line for line in sweep.processes())


def restarts(sweep: FaultySweep, trial: str) -> dict[int, int]:
    return {row["epoch"]: row["metrics"]["restarts"] for row in sweep.kind("report") if row["trial"] == trial}


def test_a_trial_leaves_a_node_with_notice_between_two_epochs(sweep: FaultySweep) -> None:
    assert restarts(sweep, "t000") == {1: 0, 2: 0, 3: 1, 4: 1}


def test_a_node_that_is_removed_before_the_epoch_ends_counts_as_no_failure(sweep: FaultySweep) -> None:
    assert restarts(sweep, "t001") == {1: 0, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("name", ["sweep", "crowded"])
def test_no_trial_failed_and_no_epoch_was_reported_twice(name: str, request: pytest.FixtureRequest) -> None:
    sweep: FaultySweep = request.getfixturevalue(name)
    assert {trial: row["outcome"] for trial, row in sweep.ends.items()} == {"t000": "completed", "t001": "completed"}
    assert len(sweep.kind("report")) == TRIALS * EPOCHS


def test_two_trials_share_the_node_that_is_left(crowded: FaultySweep) -> None:
    """The trial that lost its node gets the other node once the other trial has ended."""
    assert sorted(restarts(crowded, trial)[EPOCHS] for trial in ("t000", "t001")) == [0, 1]


def test_a_stopped_driver_frees_its_cluster(tmp_path: Path) -> None:
    """Its worker hangs in the middle of an epoch. The next driver gets the only node."""
    sweep = FaultySweep(tmp_path, 1, EPOCHS, {"t000": {"fault": "hang", "epoch": 2, "times": 1}})
    with nodes(sweep.folder, free_port(), head_cpus=0, environment=sweep.environment) as cluster:
        cluster.send("add")
        there = ("--address", cluster.address)
        with sweep.started("sweep", sweep.space, *there, environment=cluster.environment) as driver:
            wait_for(Path(f"{sweep.plan}.t000").exists, driver)
            os.kill(driver.pid, signal.SIGTERM)
            assert driver.wait(120) == 130, sweep.output.read_text()
        assert sweep.rows[-1]["detail"] == "stopped by SIGTERM"
        wait_for(lambda: not workers(sweep), seconds=120)
        done = sweep.run("resume", sweep.name, *there, environment=cluster.environment)
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: the only trial may have no feasible point
    assert [row["epoch"] for row in sweep.kind("report")] == [*range(1, EPOCHS + 1)]
