"""The journal in MLflow: packed and unpacked, refused where it is not one."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.samples import audits_of, samples_of
from letheon.journal import Row, encode_rows
from letheon.tracking.reader.sweeps import find_sweep, open_store, read_rows
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.store.journal_artifact import JOURNAL, Packer, unpack
from letheon.tracking.tracker import Extras, Tracker
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
def test_no_secret_is_packed_and_nothing_beside_it_is_lost(secret: str, before: str, after: str) -> None:
    tale = Story()
    tale.add("sweep", state="running", detail=f" {secret} ", info={"a": before, "b": [secret, after]})
    data = gzip.decompress(Packer().pack(tale.rows))
    assert b"hunter2" not in data
    assert set(reread(tale.rows)[0]["info"]) == {"a", "b"}


def rows_with(**changes: Any) -> bytes:
    """The journal of the story, its last row but one changed."""
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
def test_what_is_no_journal_is_refused(data: bytes) -> None:
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


# ---- what models said


def sweep_folder(root: Path) -> Path:
    """Two epochs of t000 with samples, the target model's baseline, one audit."""
    folder = root / "sweeps" / "sweep"
    for epoch in (1, 2):
        said = [{"set": "forget", "question": "Q", "answer": "A", "generated": f"after {epoch}"}]
        place = folder / "trials" / "t000" / f"epoch-{epoch:03d}"
        place.mkdir(parents=True)
        (place / "metrics.json").write_text(json.dumps({"metrics": {}, "samples": said}))
    (root / "models").mkdir()
    target = {"samples": [{"set": "forget", "question": "Q", "answer": "A", "generated": "before"}]}
    (root / "models" / "baseline-0.05-x.json").write_text(json.dumps({"target": target}))
    attacked = {"samples": {"relearn": [{"prompt": "P", "answer": "A", "generated": "again"}]}, "metrics": {}}
    (folder / "audit.json").write_text(json.dumps(attacked))
    return folder


def told(folder: Path) -> list[Row]:
    tale = Story()
    tale.add("sweep", state="running", info={"baseline": {"0.05": "baseline-0.05-x.json"}})
    tale.trial("t000", "0.05", "ga")
    tale.report("t000", 1, -3.0, 0.55)
    tale.report("t000", 2, -2.0, 0.55)
    tale.end("t000", "completed", 2)
    numbers = {"audit_worst_forget_rouge": math.nan}
    tale.add("audit", trial="t000", epoch=2, stratum="0.05", metrics=numbers, file=str(folder / "audit.json"))
    return tale.rows


def test_samples_of_a_trial_begin_with_the_target_model(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path)
    found = samples_of(folder, told(folder), "t000")
    assert [(epoch, texts[0]["generated"]) for epoch, texts in found["epochs"].items()] == [
        ("0", "before"),
        ("1", "after 1"),
        ("2", "after 2"),
    ]
    assert found["epochs"]["1"] == [{"set": "forget", "prompt": "Q", "answer": "A", "generated": "after 1"}]
    assert audits_of(told(folder), "t000") == {
        "trial": "t000",
        "epochs": {
            "2": {
                "samples": {"relearn": [{"prompt": "P", "answer": "A", "generated": "again"}]},
                "metrics": {"audit_worst_forget_rouge": None},
            }
        },
    }


@pytest.mark.parametrize("damage", ["", "[]", '{"samples": 3}', '{"samples": [3, {"question": "Q"}]}', "\x00"])
def test_damaged_files_of_samples_leave_their_epoch_out(tmp_path: Path, damage: str) -> None:
    folder = sweep_folder(tmp_path)
    (folder / "trials" / "t000" / "epoch-001" / "metrics.json").write_text(damage)
    (tmp_path / "models" / "baseline-0.05-x.json").unlink()
    (folder / "audit.json").write_text(damage)
    found = samples_of(folder, told(folder), "t000")["epochs"]
    assert set(found) - {"1"} == {"2"} and found.get("1", [{}])[0].get("generated", "") == ""
    assert audits_of(told(folder), "t000")["epochs"]["2"]["samples"] == {}


def test_samples_and_audits_are_artifacts_of_the_trials_run_once(
    fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from letheon.tracking.store import artifacts

    uri, folder, sent = fresh_store, sweep_folder(tmp_path), list[str]()
    real = artifacts.put

    def counted(client: Any, run_id: str, name: str, content: bytes | str) -> None:
        sent.append(name)
        real(client, run_id, name, content)

    monkeypatch.setattr("letheon.tracking.tracker.put", counted)
    rows = told(folder)
    for cut in (-2, -1, len(rows), len(rows)):
        Tracker(tmp_path, "study", "sweep", SPEC, uri, Extras(folder)).sync(rows[:cut])
    assert [name for name in sent if name.endswith("s.json")] == ["samples.json", "audits.json"]
    client = open_store(tmp_path, uri)
    _, parent = find_sweep(client, "sweep")
    [run] = client.search_runs([client.get_run(parent.id).info.experiment_id], "tags.letheon.trial_id = 't000'")
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} == {"samples.json", "audits.json"}
    path = client.download_artifacts(run.info.run_id, "samples.json", str(tmp_path))
    assert json.loads(Path(path).read_text()) == samples_of(folder, rows, "t000")
