"""The journal survives crashes and records each fact once."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.journal import Journal, JournalError, UnknownTrial, trial_row
from tests.letheon.journal.processes import python_process

DECISION = {"action": "continue", "epoch": 1, "reason": "because"}

WRITER = """
import sys
from letheon.journal import Journal
journal = Journal(sys.argv[1])
print("ready", flush=True)
for epoch in range(1, 100000):
    journal.append("report", trial="t000", epoch=epoch, metrics={"loss": epoch / 7}, decision={"reason": "x" * 3000})
    print(epoch, flush=True)
"""


def report(journal: Journal, trial: str, epoch: int, **metrics: float) -> dict[str, object]:
    return journal.append("report", trial=trial, epoch=epoch, metrics=metrics, decision=DECISION)


def test_rows_are_numbered_and_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a" / "journal.jsonl", clock=iter([5.0, 6.0]).__next__)
    first = journal.append("sweep", state="preparing", detail=None, info={"seeds": (0, 1)})
    second = report(journal, "t000", 1, loss=0.25)
    assert first == {
        "kind": "sweep", "seq": 1, "time": 5.0, "state": "preparing", "detail": None, "info": {"seeds": [0, 1]},
    }  # fmt: skip
    assert (second["seq"], second["time"]) == (2, 6.0)
    assert Journal.read(journal.path) == [first, second] == journal.rows


def test_non_finite_metrics_are_strict_json_and_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    written = report(journal, "t000", 1, loss=math.nan, a=math.inf, b=-math.inf, c=float(np.float32(0.5)))
    for line in (tmp_path / "j").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    for row in (written, Journal.read(journal.path)[0]):
        metrics = row["metrics"]
        assert isinstance(metrics, dict)
        assert math.isnan(metrics["loss"])
        assert (metrics["a"], metrics["b"], metrics["c"]) == (math.inf, -math.inf, 0.5)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.floats(width=32)), max_size=20))
@settings(max_examples=30, deadline=None)
def test_each_fact_is_recorded_once(
    tmp_path_factory: pytest.TempPathFactory, facts: list[tuple[int, int, float]]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "j")
    first: dict[tuple[int, int], dict[str, object]] = {}
    for trial, epoch, loss in facts:
        row = report(journal, f"t{trial:03}", epoch, loss=loss)
        assert repr(row) == repr(first.setdefault((trial, epoch), row))
    assert [row["seq"] for row in Journal.read(journal.path)] == list(range(1, len(first) + 1))
    journal.close()


def test_trial_and_end_rows_are_unique_too_but_sweep_rows_are_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    trial = journal.append("trial", trial="t000", stratum="0.05", config={})
    assert journal.append("trial", trial="t000", stratum="0.1", config={}) == trial
    end = journal.append("end", trial="t000", outcome="pruned", reason="a", epoch=1)
    assert journal.append("end", trial="t000", outcome="completed", reason="b", epoch=9) == end
    assert journal.append("sweep", state="running")["seq"] != journal.append("sweep", state="running")["seq"]


@pytest.mark.parametrize("tail", [b'{"kind":"rep', b"\0" * 40, b"\0" * 40 + b"\n", b'{"kind":"sweep","seq":3}'])
def test_a_torn_last_line_is_ignored_and_dropped_on_writing(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    kept = [report(journal, "t000", 1, loss=1.0), report(journal, "t000", 2, loss=1.0)]
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert Journal.read(path) == kept
    again = Journal(path)
    assert path.read_bytes() == whole
    assert report(again, "t000", 3, loss=1.0)["seq"] == 3
    assert len(Journal.read(path)) == 3


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_cut_anywhere_it_keeps_the_whole_lines(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = Journal(path)
    rows = [report(journal, "t000", epoch, loss=0.1 * epoch) for epoch in range(1, 6)]
    journal.close()
    data = path.read_bytes()
    cut = at % (len(data) + 1)
    path.write_bytes(data[:cut])
    whole = data[:cut].count(b"\n")
    assert Journal.read(path) == rows[:whole]
    resumed = Journal(path)
    assert [report(resumed, "t000", epoch, loss=9.0)["seq"] for epoch in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [row["metrics"] for row in Journal.read(path)[:whole]] == [row["metrics"] for row in rows[:whole]]
    resumed.close()


@pytest.mark.parametrize("line", [b"garbage\n", b'{"kind":"sweep","seq":7,"time":0}\n', b"[]\n"])
def test_damage_before_the_last_line_is_an_error(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    report(journal, "t000", 1, loss=1.0)
    first = path.read_bytes()
    path.write_bytes(first + line + first.replace(b'"seq":1', b'"seq":3'))
    with pytest.raises(JournalError, match="line 2"):
        Journal.read(path)
    with pytest.raises(JournalError, match="line 2"):
        Journal(path)


def test_several_writers_of_one_driver_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journals = [Journal(path) for _ in range(4)]

    def write(journal: Journal) -> None:
        for epoch in range(1, 21):
            report(journal, "t000", epoch, loss=1.0)
            journal.append("sweep", state="running")

    threads = [threading.Thread(target=write, args=(journal,)) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = Journal.read(path)
    assert [row["seq"] for row in rows] == list(range(1, 101))
    assert sum(row["kind"] == "report" for row in rows) == 20


def test_a_journal_pickles_as_its_path(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    report(journal, "t000", 1, loss=1.0)
    copy: Journal = pickle.loads(pickle.dumps(journal))
    assert report(copy, "t000", 1, loss=2.0)["metrics"] == {"loss": 1.0}
    assert report(copy, "t000", 2, loss=2.0) == journal.rows[1]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    report(journal, "t000", 1, loss=1.0)
    before = journal.path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:10]))
    with pytest.raises(OSError, match="only 10 of"):
        report(journal, "t000", 2, loss=1.0)
    monkeypatch.undo()
    assert journal.path.read_bytes() == before
    assert report(journal, "t000", 2, loss=1.0)["seq"] == 2


def test_a_clock_that_is_set_back_does_not_reverse_rows(tmp_path: Path) -> None:
    hands = iter([100.0, 40.0, 39.0, 130.0, 20.0])
    journal = Journal(tmp_path / "j", lambda: next(hands))
    times = [report(journal, "t000", epoch, loss=1.0)["time"] for epoch in (1, 2, 3, 4)]
    assert times == [100.0, 100.0, 100.0, 130.0]
    assert journal.now() == 130.0
    later = Journal(tmp_path / "j", lambda: 50.0)  # another driver, whose clock is behind
    assert report(later, "t000", 5, loss=1.0)["time"] == 130.0
    assert [row["seq"] for row in Journal.read(tmp_path / "j")] == [1, 2, 3, 4, 5]


def test_setting_the_clock_changes_no_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    first = journal.now()
    assert abs(first - time.time()) < 60
    for hours in (-5, 5):
        monkeypatch.setattr(time, "time", lambda hours=hours: first + 3600 * hours)
        report(journal, "t000", 7 + hours, loss=1.0)
    before, after = (row["time"] for row in Journal.read(tmp_path / "j"))
    assert first <= before <= after < first + 60


def test_kill_9_loses_no_row_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j"
    acknowledged = 0
    for _ in range(3):
        writer = python_process(WRITER, path)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.15)
        writer.send_signal(signal.SIGKILL)
        seen = [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        writer.wait()
        acknowledged = max([acknowledged, *seen])
        rows = Journal.read(path)
        assert len(rows) >= acknowledged > 0
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))


def test_a_misspelt_trial_names_the_nearest(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append("trial", trial="t001", stratum="0.05", config={})
    rows = journal.rows
    assert trial_row(rows, "t001")["stratum"] == "0.05"
    with pytest.raises(UnknownTrial, match=r"t01: .*did you mean 't001'"):
        trial_row(rows, "t01")
