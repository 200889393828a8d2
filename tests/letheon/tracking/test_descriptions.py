"""Descriptions of model versions, with what came after the weights."""

from __future__ import annotations

from pathlib import Path

from letheon.tracking.registry import Registration
from letheon.tracking.store.connection import open_client
from letheon.tracking.tracker import Tracker
from tests.letheon.tracking.tracking_support import SPEC, Rows, audited_story, front, save_front, story

FULL = {**SPEC, "benchmark": {"name": "fictional"}}


def finish(uri: str, folder: Path, rows: Rows) -> Registration:
    return Tracker(folder, "study", "sweep", FULL, uri).finish(front(rows), rows, folder / "trials")


def test_an_audit_is_added_to_the_description(fresh_store: str, tmp_path: Path) -> None:
    save_front(tmp_path / "trials", front(story()))
    model = finish(fresh_store, tmp_path, story()).model
    finish(fresh_store, tmp_path, audited_story())
    versions = open_client(fresh_store).search_model_versions(f"name = '{model}'")
    texts = {v.tags["letheon.epoch"]: str(v.description) for v in versions if v.tags["letheon.fraction"] == "0.05"}
    assert "| `audit_worst_forget_rouge` | 0.4 | - | 0.2 |" in texts["2"]
    assert "| `model_utility` | 0.58 | 0.6 | 0.61 |" in texts["2"]
    assert "of fictional" in texts["2"] and "--select t000@2 --fraction 0.05" in texts["2"]
