"""`letheon status`: JSON, plain lines and the live screen, for one sweep and for all, as a shell gets them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import SweepLock
from tests.letheon.cli.command import run
from tests.letheon.dashboard.support import add_rows, write_sweep
from tests.letheon.monitor.views import failed_rows, running_rows
from tests.letheon.small_sweep import command
from tests.letheon.tracking.tracking_support import Story, story

INTERRUPTED = 130


def test_the_json_has_the_keys_that_the_docs_list(tmp_path: Path) -> None:
    write_sweep(tmp_path, "study", story())
    said = json.loads(run("status", "study", "--json", "--root", tmp_path).stdout)
    keys = re.findall(r"^\| `(\w+)`", _docs("## `letheon status NAME --json`"), re.M)
    assert set(keys) == set(said)
    stratum = said["strata"]["0.05"]
    assert set(re.findall(r"^\| `strata\.\*\.(\w+)`", _docs("## `letheon status NAME --json`"), re.M)) == set(stratum)
    assert (stratum["points"], stratum["knee"]) == (["t000@1", "t000@2", "t000@3"], "t000@2")
    assert stratum["counts"] == {"completed": 1, "pruned": 1}
    assert said["left"]["seconds"] is None
    every = json.loads(run("status", "--json", "--root", tmp_path).stdout)
    [entry] = every["sweeps"]
    assert set(re.findall(r"^\| `(\w+)`", _docs("## `letheon status --json`"), re.M)) == set(entry)


def _docs(heading: str) -> str:
    text = (Path(__file__).resolve().parents[3] / "docs" / "watching.md").read_text()
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


def test_the_list_shows_sweeps_in_every_state(tmp_path: Path) -> None:
    assert run("status", "--root", tmp_path).stdout == f"no sweeps under {tmp_path}\n"
    assert json.loads(run("status", "--json", "--root", tmp_path).stdout) == {"sweeps": []}
    write_sweep(tmp_path, "broken", failed_rows())
    write_sweep(tmp_path, "gone", running_rows())
    damaged = write_sweep(tmp_path, "damaged", story())
    (damaged / "journal.jsonl").write_bytes(b"no row\n" * 2)
    old = write_sweep(tmp_path, "old", story())
    (old / "spec.yaml").write_text("name: old\nno_such_key: 1\n")
    result = run("status", "--root", tmp_path)
    lines = {line.partition(":")[0]: line for line in result.stdout.splitlines()}
    assert result.exit_code == 0
    assert re.search(r"^gone: interrupted, 20 of 4 trials, \d+ points on fronts", lines["gone"])
    assert lines["broken"].startswith("broken: failed, 4 of 4 trials")
    assert lines["damaged"].startswith("damaged: damaged: ")
    assert lines["old"].startswith("old: interrupted, 4 trials")
    states = {
        one["sweep"]: one["state"] for one in json.loads(run("status", "--json", "--root", tmp_path).stdout)["sweeps"]
    }
    assert states == {"broken": "failed", "gone": "interrupted", "damaged": "damaged", "old": "interrupted"}


def test_exit_codes(tmp_path: Path) -> None:
    damaged = write_sweep(tmp_path, "damaged", story())
    (damaged / "journal.jsonl").write_bytes(b"no row\n" * 2)
    assert run("status", "damaged", "--root", tmp_path).exit_code == 5
    assert run("status", "missing", "--root", tmp_path).exit_code == 4
    assert run("status", "missing", "--json", "--watch", "--root", tmp_path).exit_code == 4


def _later(tale: Story) -> Story:
    """The rows that the driver writes after `story()`."""
    tale.trial("t004", "0.1", "npo")
    tale.report("t004", 1, -0.5, 0.6)
    tale.end("t004", "completed", 1)
    tale.add("sweep", state="finished")
    return tale


@pytest.mark.parametrize("as_json", [True, False])
def test_watching_prints_each_change_once_and_ends_with_the_sweep(tmp_path: Path, as_json: bool) -> None:
    tale = Story()
    tale.rows = story()
    folder = write_sweep(tmp_path, "study", tale.rows)
    before = len(tale.rows)
    later = _later(tale).rows[before:]
    with SweepLock(folder):
        writer = threading.Thread(target=_add_slowly, args=(folder, later))
        writer.start()
        result = run("status", "study", "--watch", *(["--json"] if as_json else []), "--root", tmp_path)
        writer.join()
    lines = result.stdout.splitlines()
    assert len(lines) == len(set(lines)) >= 2
    if as_json:
        said = [json.loads(line) for line in lines]
        assert [len(one["trials"]) for one in said] == sorted(len(one["trials"]) for one in said)
        assert (said[0]["state"], said[-1]["state"], said[-1]["epochs"]) == ("running", "finished", 7)
    else:
        assert lines[0].startswith("study: running") and lines[-1].startswith("study: finished, 5 of 4 trials")


def _add_slowly(folder: Path, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        time.sleep(0.4)
        add_rows(folder, [row])


class Terminal:
    """The command in a real pseudo-terminal; `text` is its output so far."""

    def __init__(self, *arguments: str | Path, size: tuple[int, int], **environment: str) -> None:
        master, slave = pty.openpty()
        width, height = size
        subprocess.run(["stty", "cols", str(width), "rows", str(height)], stdin=slave, check=True)
        env = {**{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}, "TERM": "xterm", **environment}
        self.process = subprocess.Popen(
            command(*arguments), stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self._master, self.text = master, ""

    def read_until(self, found: Callable[[str], bool], seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while not found(self.text):
            assert time.monotonic() < deadline, self.text[-3000:]
            if not self._read():
                break
        return self.text

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.text += data.decode()
        return bool(data)

    def end(self) -> int:
        self.read_until(lambda _: self.process.poll() is not None)
        code = self.process.wait(30)
        os.close(self._master)
        return code


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_on_a_terminal_the_screen_updates_until_ctrl_c(tmp_path: Path) -> None:
    tale = Story()
    tale.rows = running_rows()
    folder = write_sweep(tmp_path, "study", tale.rows)
    with SweepLock(folder):
        terminal = Terminal("status", "study", "--watch", "--root", tmp_path, size=(80, 24))
        terminal.read_until(lambda text: "t019" in text)
        tale.trial("t777", "0.1", "npo")
        add_rows(folder, tale.rows[-1:])
        shown = plain(terminal.read_until(lambda text: "t777" in text))
        assert "study  running" in shown and "━" in shown
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == INTERRUPTED
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")  # the cursor is back


def test_on_a_terminal_one_look_shows_every_trial(tmp_path: Path) -> None:
    write_sweep(tmp_path, "study", running_rows())
    terminal = Terminal("status", "study", "--root", tmp_path, size=(80, 10), NO_COLOR="1")
    assert terminal.end() == 0
    shown = terminal.text
    assert all(re.search(rf"^t{i:03d} ", shown, re.M) for i in range(20))
    assert "letheon resume study --root" in shown
    assert not re.search(r"\x1b\[(3|4|9|10)\d", shown)
    listing = Terminal("status", "--root", tmp_path, size=(80, 10))
    assert listing.end() == 0
    assert re.search(r"study +interrupted +20 of 4", plain(listing.text))
