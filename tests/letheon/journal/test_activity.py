"""`progress.json`: state that any process can read, and that tells how old it is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from letheon.journal.activity import NAME, NOTHING, Activity, Work, job_name, read_activity, work_of, write_activity

SAID: dict[str, Any] = {
    "job": {"kind": "trial", "config": {"trial": "t003"}},
    "epoch": 2,
    "since": 100.0,
    "progress": {"stage": "training", "step": 3, "of": 12, "loss": math.nan, "tokens_per_second": 812.0},
    "heard": 109.0,
    "ready": True,
}


def test_it_is_read_as_it_was_written_but_older(tmp_path: Path) -> None:
    work = work_of(SAID, now=110.0)
    assert work == Work("t003", "training", 10.0, 1.0, "t003", 2, 3, 12, None, 812.0)
    assert work.share == 0.25
    written = Activity(None, 4.0, [("target model", False), ("base model", True)], [work], time=110.0)
    write_activity(tmp_path, written)
    assert read_activity(tmp_path, 110.0) == written
    later = read_activity(tmp_path, 150.0)
    assert (later.driver_seconds, later.work[0].seconds, later.work[0].silent) == (44.0, 50.0, 41.0)
    json.dumps(later.to_json(), allow_nan=False)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"work": [{"colour": 1}]}', '{"more": 1}', '{"artifacts": 3}'])
def test_a_file_that_is_missing_damaged_or_of_another_version_is_no_activity(tmp_path: Path, text: str) -> None:
    assert read_activity(tmp_path, 0.0) is NOTHING
    (tmp_path / NAME).write_text(text)
    assert read_activity(tmp_path, 0.0) is NOTHING


def test_jobs_have_names_that_a_reader_knows() -> None:
    assert job_name({"kind": "base"}) == ("base model", None)
    assert job_name({"kind": "finetune", "fraction": None}) == ("target model", None)
    assert job_name({"kind": "synthetic_models", "fraction": 0.1}) == ("retain model 0.1", None)
    assert job_name({"kind": "baseline", "fraction": 0.05}) == ("baseline 0.05", None)
    assert job_name({"kind": "synthetic_baseline", "fraction": 0.5}) == ("baseline 0.5", None)
    assert job_name({"kind": "audit", "model": "/r/trials/t003/epoch-002/model"}) == ("audit of t003/epoch-002", None)
    assert job_name({"kind": "audit", "model": "/r/models/retain-0.1-ab12"}) == ("audit of retain-0.1-ab12", None)


def test_an_artifact_is_running_while_a_worker_makes_it() -> None:
    making = Activity(artifacts=[("base model", True), ("target model", False), ("baseline 0.1", False)])
    making = Activity(artifacts=making.artifacts, work=[Work("target model", "training", 1.0, 1.0)])
    assert [one["state"] for one in making.to_json()["artifacts"]] == ["ready", "running", "waiting"]
