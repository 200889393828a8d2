"""The journal in MLflow: packed, unpacked, and refused if it is not valid."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.journal import Row, encode_rows
from letheon.tracking.reader.sweeps import find_sweep, open_store, read_rows
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.store.journal_artifact import JOURNAL, Packer, unpack
from letheon.tracking.tracker import Tracker
from tests.letheon.tracking.tracking_support import SPEC, Story, audited_story, story

TEXT = st.text(max_size=20)
NUMBERS = st.floats() | st.integers(-1000, 1000)


def reread(rows: list[Row]) -> list[Row]:
    return unpack(Packer().pack(rows), "a test")


def test_what_is_packed_is_what_is_read() -> None:
    tale = Story()
    tale.rows = audited_story()
    assert repr(reread(tale.rows)) == repr([{**row} for row in tale.rows]).replace("hunter2", "***").replace(
        "me:secret@", "***@"
    )


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), NUMBERS, max_size=5), TEXT, st.integers(1, 9))
def test_any_row_survives_and_any_cut_of_the_journal_packs_as_itself(
    found: dict[str, Any], text: str, cut: int
) -> None:
    tale = Story()
    tale.add("sweep", state="running", detail=text, info={"note": [text, {"deep": text}]})
    tale.trial("t000", "0.05", "ga")
    tale.add("report", trial="t000", epoch=1, metrics=found, decision={"reason": text, "action": "continue"})
    tale.end("t000", "completed", 1, text)
    growing = Packer()
    growing.pack(tale.rows[:cut])
    assert growing.pack(tale.rows) == Packer().pack(tale.rows)
    back = reread(tale.rows)
    assert [row["kind"] for row in back] == [row["kind"] for row in tale.rows]
    assert repr(back[2]["metrics"]) == repr(found)


@given(st.sampled_from(["https://u:hunter2@h/x", "x?token=hunter2&b", "mysql://u:p@hunter2@h"]), TEXT, TEXT)
def test_no_secret_is_packed_and_nothing_else_is_lost(secret: str, before: str, after: str) -> None:
    tale = Story()
    tale.add("sweep", state="running", detail=f" {secret} ", info={"a": before, "b": [secret, after]})
    data = gzip.decompress(Packer().pack(tale.rows))
    assert b"hunter2" not in data
    assert set(reread(tale.rows)[0]["info"]) == {"a", "b"}


def rows_with(**changes: Any) -> bytes:
    """The journal of the story with its second last row changed."""
    lines = encode_rows(story()).splitlines()
    lines[-2] = json.dumps({**json.loads(lines[-2]), **changes}).encode()
    return gzip.compress(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no journal\nat all\n", mtime=0),
        Packer().pack(story())[:-9],
        Packer().pack(story()) + b"more",
        gzip.compress(b"[" * 100_000 + b"\n" + b"{}\n"),
        rows_with(seq=3),
        rows_with(time=math.nan),
        rows_with(trial="../../etc"),
        rows_with(kind="report", epoch="1"),
        rows_with(kind="report", epoch=1, metrics=[1]),
        rows_with(kind="report", epoch=1, metrics={"<script>": 1.0}),
        rows_with(kind="trial", trial="t009", stratum="nan", config={}),
        rows_with(kind="trial", trial="t 9", stratum="0.1", config={}),
        rows_with(kind="audit", trial="retain-0.1", epoch=0, stratum="x", metrics={}),
        rows_with(outcome="<b>"),
    ],
)
def test_an_invalid_journal_is_refused(data: bytes) -> None:
    with pytest.raises(TrackingError, match="a test"):
        unpack(data, "a test")


def test_a_journal_that_expands_too_far_is_refused_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letheon.tracking.store.journal_artifact.MAX_BYTES", 10_000)
    with pytest.raises(TrackingError, match="larger than any journal"):
        unpack(gzip.compress(b"0" * 10_000_000), "a test")


def test_rows_are_read_from_the_artifact(fresh_store: str, tmp_path: Path) -> None:
    rows, uri = story(), fresh_store
    tracker = Tracker(tmp_path, "study", "sweep", SPEC, uri)
    tracker.sync(rows)
    client = open_store(tmp_path, uri)
    _, parent = find_sweep(client, "sweep")
    assert read_rows(client, parent) == []
    for _ in range(2):
        tracker.log_journal(rows)
    _, parent = find_sweep(client, "sweep")
    assert [dict(row, reason="", detail="") for row in read_rows(client, parent)] == [
        dict(row, reason="", detail="") for row in reread(rows)
    ]
    assert len([entry for entry in client.list_artifacts(parent.id) if entry.path == JOURNAL]) == 1
