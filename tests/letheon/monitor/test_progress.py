"""The output of a running `sweep`: a screen on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from letheon.journal import Journal, SweepLock
from letheon.journal.activity import Activity, Work, write_activity
from letheon.monitor import progress as monitor_progress
from letheon.monitor.progress import preparation_progress, progress
from tests.letheon.dashboard.support import add_rows, small_spec, write_sweep
from tests.letheon.monitor.views import running_rows

ERASE = "\x1b[2K"


def test_on_a_terminal_the_screen_updates_with_the_rows_and_is_erased_at_the_end(tmp_path: Path) -> None:
    rows, out = running_rows(), io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, highlight=False)
    folder = write_sweep(tmp_path, "study", rows[:-40])
    with SweepLock(folder), progress(console, folder, small_spec()) as (show, say):
        show(rows[:-40])
        say("searching: [4] trials at most")
        add_rows(folder, rows[-40:])
        show(rows)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert "study  running  20 of 4 trials" in text
    assert "searching: [4] trials at most" in text
    assert text.index("searching") < text.rindex("study  running")
    assert out.getvalue().rindex(ERASE) > out.getvalue().rindex("running")


def test_a_log_without_news_says_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_progress, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(monitor_progress, "PERIOD_SECONDS", 0.05)
    out, folder = io.StringIO(), write_sweep(tmp_path, "study", running_rows())
    work = Work("t018", "training", 25.0, 1.0, "t018", 3, 12, 40)
    with SweepLock(folder), progress(Console(file=out, width=40), folder, small_spec()) as (_, say):
        write_activity(folder, Activity(work=[work], time=time.time()))
        say("searching")
        time.sleep(0.7)
    first, *lines = out.getvalue().splitlines()
    assert first == "searching" and 1 <= len(lines) <= 3
    assert all(re.fullmatch(r"t018 epoch 3, 2\d s: training, step 12 of 40", line) for line in lines)


def test_a_preparation_shows_its_work_without_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_progress, "PERIOD_SECONDS", 0.05)
    out = io.StringIO()
    write_activity(
        tmp_path, Activity(work=[Work("target model", "training", 1.0, 0.0, step=1, of=4)], time=time.time())
    )
    console = Console(file=out, force_terminal=True, width=100, height=24)
    with preparation_progress(console, tmp_path) as say:
        say("prepared base model in 3 s")
        time.sleep(1.5)
    assert "prepared base model" in out.getvalue()
    assert "1 of 4" in out.getvalue()


def test_progress_starts_before_the_folder_exists(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, highlight=False)
    with progress(console, tmp_path / "sweeps" / "new", small_spec()) as (show, _):
        show([])
    assert "new" in out.getvalue()


def test_into_a_pipe_each_new_row_is_one_line_and_a_resumed_sweep_prints_new_rows_only(tmp_path: Path) -> None:
    rows, out = running_rows(), io.StringIO()
    folder = write_sweep(tmp_path, "study", rows)
    with progress(Console(file=out, width=40), folder, small_spec()) as (show, say):
        say("prepared: 你好 " + "x" * 60)
        show(rows[:-3])
        show(rows)
        show(rows)
    lines = out.getvalue().splitlines()
    assert lines[0] == "prepared: 你好 " + "x" * 60
    expected = [row for row in Journal.read(folder / "journal.jsonl")[-3:] if row["kind"] in ("trial", "report", "end")]
    assert len(lines) == 1 + len(expected) > 1
    for line, row in zip(lines[1:], expected, strict=True):
        assert line.startswith(row["trial"])
        assert row["kind"] != "report" or re.search(rf"epoch {row['epoch']}: utility .* forget quality p = ", line)
