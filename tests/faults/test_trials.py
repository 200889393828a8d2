"""Many trials with one fault each in one real sweep, torch.distributed's port taken: no other trial is affected."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.support import FaultySweep
from tests.letheon.small_sweep import wait_for

TRIALS, EPOCHS = 12, 3
FAULTS = {
    "t001": {"fault": "kill", "epoch": 2, "times": 1},
    "t002": {"fault": "memory", "epoch": 2, "times": 1},
    "t003": {"fault": "memory", "epoch": 2},
    "t004": {"fault": "nan", "epoch": 2},
    "t005": {"fault": "missing", "epoch": 1},
    "t006": {"fault": "none", "epoch": 1},
    "t007": {"fault": "text", "epoch": 1},
    "t008": {"fault": "flood", "epoch": 2},
    "t009": {"fault": "kill", "epoch": 1},
}
WHOLE = {"t000", "t001", "t002", "t010", "t011"}
DISTRIBUTED_PORT = 29500

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> FaultySweep:
    """The finished sweep; a second driver tried to run it meanwhile."""
    sweep = FaultySweep(tmp_path_factory.mktemp("faults"), TRIALS, EPOCHS, FAULTS)
    with socket.socket() as taken, sweep.started("sweep", sweep.space) as driver:
        with suppress(OSError):  # another process has it already, which is as good
            taken.bind(("", DISTRIBUTED_PORT))
            taken.listen()
        wait_for(lambda: bool(sweep.kind("report")), driver)
        second = sweep.run("resume", sweep.name)
        sweep.folder.joinpath("second.log").write_text(second.stderr)
        assert second.returncode == 2, second.stdout + second.stderr
        assert driver.wait(300) == 0, sweep.output.read_text()
    return sweep


def test_the_sweep_ends_and_every_trial_has_its_end(sweep: FaultySweep) -> None:
    outcomes = {trial: row["outcome"] for trial, row in sweep.ends.items()}
    assert sorted(outcomes) == [f"t{i:03d}" for i in range(TRIALS)]
    assert {trial for trial, outcome in outcomes.items() if outcome == "completed"} == WHOLE
    assert outcomes["t004"] == "collapsed"
    reports = [(row["trial"], row["epoch"]) for row in sweep.kind("report")]
    assert len(set(reports)) == len(reports)
    for trial in WHOLE:
        assert [epoch for name, epoch in reports if name == trial] == [1, 2, 3]


def test_a_killed_worker_costs_its_trial_a_restart(sweep: FaultySweep) -> None:
    restarts = {row["epoch"]: row["metrics"]["restarts"] for row in sweep.kind("report") if row["trial"] == "t001"}
    assert restarts == {1: 0, 2: 1, 3: 1}
    assert "lost 2 times; max_failures is 1" in sweep.ends["t009"]["reason"]


def test_out_of_memory_is_retried_once_and_then_reported(sweep: FaultySweep) -> None:
    restarts = {row["epoch"]: row["metrics"]["restarts"] for row in sweep.kind("report") if row["trial"] == "t002"}
    assert restarts == {1: 0, 2: 1, 3: 1}
    end = sweep.ends["t003"]
    assert (end["outcome"], end["epoch"]) == ("failed", 1)
    assert "out of memory again" in end["reason"]
    assert "Tried to allocate 20.00 GiB" in end["reason"]
    assert "(peak " in end["reason"]
    assert Path(f"{sweep.plan}.t003").read_text() == "2", "neither more nor fewer attempts"


def test_a_destroyed_model_is_stopped_at_once(sweep: FaultySweep) -> None:
    end = sweep.ends["t004"]
    assert end["epoch"] == 2
    assert "nan" in end["reason"]


@pytest.mark.parametrize(
    ("trial", "epoch", "why"),
    [("t005", 1, "missing from the report"), ("t006", 0, "is None"), ("t007", 0, "is 'high'")],
)
def test_a_metric_that_is_not_a_number_is_named(sweep: FaultySweep, trial: str, epoch: int, why: str) -> None:
    """A report with a missing metric is journalled; one with a metric of another type is not."""
    end = sweep.ends[trial]
    assert (end["outcome"], end["epoch"]) == ("failed", epoch)
    assert "forget_kl" in end["reason"]
    assert why in end["reason"]


def test_a_flood_stays_in_the_log(sweep: FaultySweep) -> None:
    assert len(sweep.ends["t008"]["reason"]) <= 500
    assert sweep.logs.count("flood" * 20_000) == 200
    assert sweep.logs.count("giant " * 1_000_000) == 1
    assert len(sweep.output.read_bytes()) < 20_000
    assert len((sweep.place / "journal.jsonl").read_bytes()) < 200_000


def test_a_second_driver_is_refused_with_the_process_of_the_first(sweep: FaultySweep) -> None:
    output = sweep.folder.joinpath("second.log").read_text()
    assert output.startswith("sweep 'faulty' is driven by process ")
    assert len(output.splitlines()) == 1


def test_no_process_is_left(sweep: FaultySweep) -> None:
    assert sweep.processes() == []
