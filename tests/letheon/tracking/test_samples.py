"""Texts that models generated: collected per trial, and uploaded to its run once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from letheon.analysis.samples import audits_of, samples_of
from letheon.journal import Row
from letheon.tracking.reader.sweeps import find_sweep, open_store
from letheon.tracking.store import artifacts
from letheon.tracking.tracker import Extras, Tracker
from tests.letheon.tracking.tracking_support import SPEC, Story


def sweep_folder(root: Path) -> Path:
    """Two epochs of t000 with samples, the target model's baseline, one audit."""
    folder = root / "sweeps" / "sweep"
    for epoch in (1, 2):
        samples = [{"set": "forget", "question": "Q", "answer": "A", "generated": f"after {epoch}"}]
        place = folder / "trials" / "t000" / f"epoch-{epoch:03d}"
        place.mkdir(parents=True)
        (place / "metrics.json").write_text(json.dumps({"metrics": {}, "samples": samples}))
    (root / "models").mkdir()
    target = {"samples": [{"set": "forget", "question": "Q", "answer": "A", "generated": "before"}]}
    (root / "models" / "baseline-0.05-x.json").write_text(json.dumps({"target": target}))
    attacked = {"samples": {"relearn": [{"prompt": "P", "answer": "A", "generated": "again"}]}, "metrics": {}}
    (folder / "audit.json").write_text(json.dumps(attacked))
    return folder


def rows_of(folder: Path) -> list[Row]:
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
    found = samples_of(folder, rows_of(folder), "t000")
    assert [(epoch, texts[0]["generated"]) for epoch, texts in found["epochs"].items()] == [
        ("0", "before"),
        ("1", "after 1"),
        ("2", "after 2"),
    ]
    assert found["epochs"]["1"] == [{"set": "forget", "prompt": "Q", "answer": "A", "generated": "after 1"}]
    assert audits_of(rows_of(folder), "t000") == {
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
    found = samples_of(folder, rows_of(folder), "t000")["epochs"]
    assert set(found) - {"1"} == {"2"} and found.get("1", [{}])[0].get("generated", "") == ""
    assert audits_of(rows_of(folder), "t000")["epochs"]["2"]["samples"] == {}


def test_samples_and_audits_are_artifacts_of_the_trials_run_once(
    fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder, sent = fresh_store, sweep_folder(tmp_path), list[str]()
    real = artifacts.put

    def counted(client: Any, run_id: str, name: str, content: bytes | str) -> None:
        sent.append(name)
        real(client, run_id, name, content)

    monkeypatch.setattr("letheon.tracking.tracker.put", counted)
    rows = rows_of(folder)
    for cut in (-2, -1, len(rows), len(rows)):
        Tracker(tmp_path, "study", "sweep", SPEC, uri, Extras(folder)).sync(rows[:cut])
    assert [name for name in sent if name.endswith("s.json")] == ["samples.json", "audits.json"]
    client = open_store(tmp_path, uri)
    _, parent = find_sweep(client, "sweep")
    [run] = client.search_runs([client.get_run(parent.id).info.experiment_id], "tags.letheon.trial_id = 't000'")
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} == {"samples.json", "audits.json"}
    path = client.download_artifacts(run.info.run_id, "samples.json", str(tmp_path))
    assert json.loads(Path(path).read_text()) == samples_of(folder, rows, "t000")
