"""A journal read while another process writes it: each row once, whatever the reader finds half-written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.journal import Follower, Journal, JournalError


def written(folder: Path, trials: int) -> bytes:
    path = folder / "journal.jsonl"
    journal = Journal(path, clock=lambda: 1.0)
    for number in range(trials):
        journal.append("trial", trial=f"t{number:03d}", stratum="0.1", config={"method": "npo"})
    return path.read_bytes()


@given(st.data())
def test_every_row_is_read_once_wherever_the_writer_was(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    content = written(folder, 5)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=8).map(sorted))
    path = folder / "growing.jsonl"
    follower = Follower(path)
    for cut in [*cuts, len(content)]:
        path.open("ab").write(content[path.stat().st_size if path.exists() else 0 : cut])
        seen = follower.rows()
        assert [row["seq"] for row in seen] == list(range(1, content[:cut].count(b"\n") + 1))
    assert follower.rows() == Journal.read(path)


def test_a_journal_that_replaces_another_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    follower = Follower(path)
    assert follower.rows() == []
    written(tmp_path, 3)
    assert len(follower.rows()) == 3
    path.unlink()
    written(tmp_path, 1)
    assert len(follower.rows()) == 1
    path.unlink()
    assert follower.rows() == []


def test_damage_is_not_passed_over(tmp_path: Path) -> None:
    content = written(tmp_path, 3)
    path = tmp_path / "journal.jsonl"
    follower = Follower(path)
    follower.rows()
    path.open("ab").write(b"not a row\n" + content.splitlines(keepends=True)[0])
    with pytest.raises(JournalError, match="line 4"):
        follower.rows()
