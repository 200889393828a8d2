"""The disk of a whole sweep is full for a while, with models, trials, journal, Tune's files and records on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.disks import Disk
from tests.faults.support import FaultySweep
from tests.letheon.small_sweep import wait_for

TRIALS, EPOCHS = 4, 3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[0, 2], ids=["full", "two pages left"])
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySweep]:
    """The finished sweep. Its disk was full when t001 wrote its second epoch, and had space again for `resume`.

    Two pages are enough for journal rows, so that trials could fail one after another.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    sweep = FaultySweep(tmp_path_factory.mktemp("full"), TRIALS, EPOCHS, {"t001": {"fault": "hold", "epoch": 2}}, cpus)
    disk = Disk(sweep.root, "64m")
    disk.mount()
    try:
        with sweep.started("sweep", sweep.space) as driver:
            wait_for(lambda: any(row["trial"] == "t001" for row in sweep.kind("report")), driver)
            disk.fill(but=request.param)
            sweep.release("t001")
            (sweep.folder / "code").write_text(str(driver.wait(180)))
        (sweep.folder / "full.log").write_text(sweep.output.read_text())
        (sweep.folder / "before.jsonl").write_bytes((sweep.place / "journal.jsonl").read_bytes())
        disk.free()
        done = sweep.run("resume", sweep.name)
        assert done.returncode == 0, done.stdout + done.stderr
        yield sweep
    finally:
        disk.unmount()


def test_the_error_names_the_full_disk_and_the_command_to_resume(sweep: FaultySweep) -> None:
    output = (sweep.folder / "full.log").read_text()
    assert int((sweep.folder / "code").read_text()) == 3, output
    assert f"the disk of {sweep.place} is full" in output
    assert f"letheon resume faulty --root {sweep.root}" in output
    assert "Traceback" not in output and "Aborted" not in output


def test_nothing_was_lost(sweep: FaultySweep) -> None:
    """Not even the trial without space: it continues from its last epoch."""
    assert {trial: row["outcome"] for trial, row in sweep.ends.items()} == {
        f"t{i:03d}": "completed" for i in range(TRIALS)
    }
    reports = [(row["trial"], row["epoch"]) for row in sweep.kind("report")]
    assert reports == [(f"t{i:03d}", epoch) for i in range(TRIALS) for epoch in range(1, EPOCHS + 1)]
    before = (sweep.folder / "before.jsonl").read_bytes()
    assert (sweep.place / "journal.jsonl").read_bytes().startswith(before)


def test_no_process_and_no_partial_epoch_is_left(sweep: FaultySweep) -> None:
    sweep.wait_until_gone()
    assert not list((sweep.place / "trials").glob("*/.epoch-*"))
