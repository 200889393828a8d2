"""The output of a running `sweep`: a screen on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from letheon.journal import Journal, SweepLock
from letheon.monitor.progress import progress
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
