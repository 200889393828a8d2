"""`Folded` gives a fold each row of a growing journal once, and starts again if the journal is replaced."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.journal import Folded, encode_rows
from tests.letheon.dashboard.support import LongStory
from tests.letheon.monitor.stories import Rows, tales


class Counted:
    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()

    def take(self, row: dict[str, Any]) -> None:
        self.seen[row["seq"]] += 1


@settings(max_examples=30)
@given(tales(), st.lists(st.integers(0, 40), max_size=5).map(sorted))
def test_a_fold_that_follows_a_file_takes_each_row_once(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    folded = Folded(path, Counted)
    for i, cut in enumerate([*cuts, len(rows)]):
        with path.open("ab") as file:
            file.write(encode_rows(rows[cuts[i - 1] if i else 0 : cut]))
        assert folded.current().seen == Counter(row["seq"] for row in rows[:cut])


def test_a_fold_starts_again_with_a_new_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    rows = LongStory(3).rows
    folded = Folded(path, Counted)
    assert folded.current().seen == Counter()
    path.write_bytes(encode_rows(rows))
    assert folded.current().seen.total() == len(rows)
    path.unlink()
    assert folded.current().seen == Counter()
    path.write_bytes(encode_rows(rows[:2]))
    assert folded.current().seen == Counter([1, 2])
