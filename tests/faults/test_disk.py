"""The disk of the trials is full for a while during a sweep: a small file system in memory, filled to its last page."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from letheon.pareto.front import front_of
from letheon.spec.load import load_spec
from letheon.spec.rules_objectives import goals_of
from tests.faults.disks import Disk
from tests.faults.support import FaultySweep
from tests.letheon.small_sweep import wait_for

TRIALS, EPOCHS = 4, 3
HELD = {"t001": 2, "t002": 1}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySweep]:
    """The finished sweep: the disk was full for t001 and had space again for t002."""
    cpus = float(len(os.sched_getaffinity(0)))
    faults = {trial: {"fault": "hold", "epoch": epoch} for trial, epoch in HELD.items()}
    sweep = FaultySweep(tmp_path_factory.mktemp("disk"), TRIALS, EPOCHS, faults, cpus)
    disk = Disk(sweep.place / "trials")
    try:
        disk.mount()
        fill_for_a_while(sweep, disk)
        yield sweep
    finally:
        disk.unmount()


def fill_for_a_while(sweep: FaultySweep, disk: Disk) -> None:
    with sweep.started("sweep", sweep.space) as driver:
        wait_for(lambda: sweep.has_reported("t001", 1), driver)  # and holds in epoch 2, or will
        disk.fill()
        sweep.release("t001")
        wait_for(lambda: any(row["trial"] == "t002" for row in sweep.kind("trial")), driver)
        disk.free()
        sweep.release("t002")
        assert driver.wait(300) == 0, sweep.output.read_text()


def test_only_the_trial_without_space_failed_and_the_others_continued(sweep: FaultySweep) -> None:
    outcomes = {trial: row["outcome"] for trial, row in sweep.ends.items()}
    assert outcomes == {"t000": "completed", "t001": "failed", "t002": "completed", "t003": "completed"}
    assert "No space left on device" in sweep.ends["t001"]["reason"]
    reports = [(row["trial"], row["epoch"]) for row in sweep.kind("report") if row["trial"] != "t001"]
    assert sorted(reports) == [(trial, epoch) for trial in ("t000", "t002", "t003") for epoch in range(1, EPOCHS + 1)]
    assert sweep.ends["t001"]["epoch"] < EPOCHS  # deleted weights may make space for one more epoch


def test_no_partial_epoch_is_left_and_the_front_has_its_weights(sweep: FaultySweep) -> None:
    assert not list((sweep.place / "trials").glob("*/.epoch-*"))
    goals = goals_of(load_spec(sweep.place / "spec.yaml"))
    strata = front_of(sweep.rows, goals=goals)["strata"]
    assert any(stratum["points"] for stratum in strata.values())
    for stratum in strata.values():
        for point in stratum["points"]:
            folder = sweep.place / "trials" / point["trial"] / f"epoch-{point['epoch']:03d}" / "model"
            assert (folder / "model.safetensors").stat().st_size > 0
