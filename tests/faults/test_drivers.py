"""One sweep whose driver, files and Ray are damaged one after another: it ends as if undisturbed.

A trial that holds in its fourth epoch makes the timing the same on fast and slow machines.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from letheon.preparation.layout import layout
from letheon.spec.load import load_spec
from letheon.sweep.trial_config import trial_config
from tests.faults.support import FaultySweep
from tests.letheon.small_sweep import wait_for
from trainables.config import Hyperparameters
from trainables.synthetic.loop import run_trial

TRIALS, EPOCHS = 3, 5
HELD = {"fault": "hold", "epoch": 4}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> FaultySweep:
    """The finished sweep. One slot, so that the order of its trials is fixed."""
    cpus = float(len(os.sched_getaffinity(0)))
    sweep = FaultySweep(tmp_path_factory.mktemp("drivers"), TRIALS, EPOCHS, {"t000": HELD, "t001": HELD}, cpus)
    interrupt_twice(sweep)
    edit_the_file(sweep)
    damage_the_last_epoch(sweep)
    lose_the_raylet(sweep)
    done = sweep.run("resume", sweep.name)
    assert done.returncode == 0, done.stdout + done.stderr
    return sweep


def interrupt_twice(sweep: FaultySweep) -> None:
    with sweep.started("sweep", sweep.space) as driver:
        wait_for(lambda: len(sweep.kind("report")) == 3, driver)
        os.kill(driver.pid, signal.SIGINT)
        time.sleep(0.5)
        os.kill(driver.pid, signal.SIGINT)
        assert driver.wait(60) == 130, sweep.output.read_text()
    (sweep.folder / "interrupted.log").write_text(sweep.output.read_text())
    sweep.wait_until_gone()
    assert sweep.rows[-1]["kind"] == "sweep"


def edit_the_file(sweep: FaultySweep) -> None:
    """`resume` refuses the file while it is edited."""
    file = sweep.place / "spec.yaml"
    text = file.read_text()
    content = yaml.safe_load(text)
    content["scheduler"]["max_epochs"] = EPOCHS + 1
    file.write_text(yaml.safe_dump(content))
    refused = sweep.run("resume", sweep.name)
    (sweep.folder / "edited.log").write_text(refused.stderr)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    file.write_text(text)


def damage_the_last_epoch(sweep: FaultySweep) -> None:
    """Flip a bit of the optimizer state from which the trial would continue."""
    [state] = (sweep.place / "trials" / "t000" / "epoch-003" / "state").iterdir()
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)


def lose_the_raylet(sweep: FaultySweep) -> None:
    """Kill the only raylet while t001 holds; the driver cannot continue."""
    sweep.release("t000")
    with sweep.started("resume", sweep.name) as driver:
        wait_for(lambda: any(row["trial"] == "t001" for row in sweep.kind("report")), driver)
        os.kill(raylet_of(driver.pid), signal.SIGKILL)
        (sweep.folder / "raylet.code").write_text(str(driver.wait(150)))
    sweep.wait_until_gone()
    sweep.release("t001")


def raylet_of(driver: int) -> int:
    """The driver's child process that is the raylet."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == driver and os.readlink(process / "exe").endswith("raylet"):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError("the driver has no raylet")


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing(sweep: FaultySweep) -> None:
    output = (sweep.folder / "interrupted.log").read_text()
    assert "letheon resume faulty" in output
    assert "Traceback" not in output


def test_an_edited_file_is_refused_field_by_field(sweep: FaultySweep) -> None:
    first, fix = (sweep.folder / "edited.log").read_text().splitlines()
    assert first == f"scheduler.max_epochs: {EPOCHS} when the sweep began, {EPOCHS + 1} now"
    assert "--warm-start faulty" in fix


def test_a_damaged_epoch_is_trained_again_and_logged(sweep: FaultySweep) -> None:
    assert "t000: epoch 3 is damaged; continuing from epoch 2" in sweep.logs


def test_a_lost_raylet_ends_the_driver_and_all_processes(sweep: FaultySweep) -> None:
    """Ray itself may end the driver first, with exit code 1: it misses the raylet's store before `LostNodes` looks."""
    code = int((sweep.folder / "raylet.code").read_text())
    assert code in (1, 3)
    assert code == 1 or "no node of the cluster is alive" in sweep.output.read_text()
    assert sweep.processes() == []


def test_every_epoch_was_reported_once(sweep: FaultySweep) -> None:
    reports = [(row["trial"], row["epoch"]) for row in sweep.kind("report")]
    wanted = [(f"t{i:03d}", epoch) for i in range(TRIALS) for epoch in range(1, EPOCHS + 1)]
    assert sorted(reports) == wanted
    assert {row["outcome"] for row in sweep.ends.values()} == {"completed"}


class KeepReports:
    """A channel that allows every epoch and keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []

    def may_run(self, epoch: int) -> bool:
        return True

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        self.reports.append(metrics)


def test_metrics_are_those_of_undisturbed_trials(sweep: FaultySweep, tmp_path: Path) -> None:
    spec = load_spec(sweep.place / "spec.yaml")
    prepared = layout(spec, sweep.root)
    for row in sweep.kind("trial"):
        channel = KeepReports()
        hyper = Hyperparameters.model_validate(row["config"])
        run_trial(trial_config(spec, prepared, row["trial"], hyper, tmp_path / row["trial"]), channel)
        found = [report["metrics"] for report in sweep.kind("report") if report["trial"] == row["trial"]]
        for undisturbed, metrics in zip(channel.reports, found, strict=True):
            steady = [name for name in metrics if "seconds" not in name and name != "restarts"]
            assert {"loss", "forget_kl", "retain_kl", "utility_ratio"} <= set(steady)
            assert [metrics[name] for name in steady] == pytest.approx([undisturbed[name] for name in steady], rel=1e-9)
