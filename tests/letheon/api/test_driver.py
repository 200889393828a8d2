"""Real drivers started from Python: watched, interrupted, resumed, and gone with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import letheon
from letheon.api.driver import Driver, driver_of, starting
from letheon.journal import Journal
from tests.letheon.small_sweep import SPACE, processes_of, wait_for

SECTIONS: Mapping[str, Any] = yaml.safe_load(SPACE)
PATIENCE = 400

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]  # every start of Ray takes seconds, on a busy machine many


def small(**changes: Any) -> letheon.Sweep:
    changes = {"budget.trials": 2, "search.forget_fraction": 0.5, **changes}
    return letheon.Sweep(**SECTIONS, set=changes)


def reports(run: letheon.Run) -> int:
    file = Path(str(run.folder)) / "journal.jsonl"
    return sum(row["kind"] == "report" for row in Journal.read(file)) if file.exists() else 0


def driver(run: letheon.Run) -> Driver:
    found = driver_of(Path(str(run.folder)))
    assert found is not None
    return found


def when(condition: Callable[[], object], run: letheon.Run) -> None:
    wait_for(lambda: condition() or not driver(run).running, seconds=PATIENCE)
    assert driver(run).running, driver(run).log.read_text()


def test_a_sweep_is_started_interrupted_resumed_and_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = small()
    run = sweep.start(root=tmp_path)
    assert run.state == "preparing" and run.front().empty and starting(tmp_path) == {"small"}
    assert letheon.open("small", tmp_path).detail == "the driver is starting"
    with pytest.raises(letheon.LetheonError, match="'small' exists"):
        sweep.start(root=tmp_path, name="small")
    when(lambda: reports(run), run)

    presses, sleep = iter([False, False, True]), time.sleep

    def interrupted(seconds: float) -> None:
        if next(presses, False):
            raise KeyboardInterrupt
        sleep(seconds)

    with monkeypatch.context() as patch:  # the stop button, in the third second of waiting
        patch.setattr(time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.wait()
    assert not driver(run).running
    assert (run.state, run.detail) == ("interrupted", "stopped by SIGTERM")
    wait_for(lambda: not processes_of(tmp_path), seconds=60)
    before = reports(run)

    letheon.open("small", tmp_path).resume()
    run.wait()
    assert run.state == "finished" and " epoch " in capsys.readouterr().out
    assert len(run.epochs()) == reports(run) + len(run.trials()) and reports(run) > before
    assert list(run.trials().index) == ["t000", "t001"]
    second = sweep.start(root=tmp_path)
    assert second.name == "small-2" and second.interrupt()


def test_what_the_driver_refuses_is_raised_by_wait(tmp_path: Path) -> None:
    run = small(**{"trial.cpus_per_worker": 4096}).start(root=tmp_path)
    with pytest.raises(letheon.LetheonError, match=r"(?s)4096.*driver.log"):
        run.wait(progress=False)
    assert driver(run).process.returncode == 2
    again = small(**{"trial.cpus_per_worker": 4096}).start(root=tmp_path)
    assert again.name == "small"  # what never began holds no name
    with pytest.raises(letheon.LetheonError):
        again.wait(progress=False)


PARENT = """
import sys, time, letheon
from tests.letheon.api.test_driver import small
small().start(root=sys.argv[1])
print("started", flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_ends_with_the_process_that_started_it(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "root")],
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "errors").open("wb"),
        env=environment,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n", (tmp_path / "errors").read_text()
    journal = tmp_path / "root" / "sweeps" / "small" / "journal.jsonl"
    wait_for(journal.exists, parent, PATIENCE)
    os.killpg(parent.pid, number)  # as a notebook's server does with the kernel's group
    parent.wait(60)
    wait_for(lambda: not processes_of(tmp_path / "root"), seconds=PATIENCE)
    last = Journal.read(journal)[-1]
    assert (last["state"], last["detail"]) == ("interrupted", "stopped by SIGTERM")
