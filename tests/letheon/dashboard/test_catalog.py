"""Sweeps of this root and of the tracking store: the same pages from both, and no sweep twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from letheon.common.redaction import redact
from letheon.dashboard.catalog import Catalog, NoSuchSweep
from letheon.dashboard.recorded import RecordedSweeps
from letheon.journal import UnknownTrial
from letheon.spec.load import resolved
from letheon.tracking.reader.browse import Browser
from letheon.tracking.tracker import Tracker
from tests.letheon.dashboard.support import add_rows, small_spec, write_sweep
from tests.letheon.tracking.tracking_support import Story, front, save_front, story


def catalog(root: Path, uri: str | None = None) -> Catalog:
    return Catalog(root, RecordedSweeps(Browser(root, uri)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a sweep that is also in MLflow."""
    root = tmp_path_factory.mktemp("recorded")
    folder = write_sweep(root, "done", story())
    tracker = Tracker(root, "quickstart", "done", resolved(small_spec()))
    tracker.check()
    save_front(folder / "trials", front(story()))
    tracker.finish(front(story(), "done"), story(), folder / "trials")
    tracker.log_journal(story())
    return root


def test_a_sweep_that_is_here_and_in_mlflow_is_listed_once(recorded: Path) -> None:
    listed = catalog(recorded).sweeps()
    assert [(one["name"], one["place"]) for one in listed["sweeps"]] == [("done", "here")]
    assert listed["problem"] is None


def test_another_machine_sees_the_same_page_from_the_store_alone(recorded: Path, tmp_path: Path) -> None:
    there = catalog(tmp_path, f"sqlite:///{recorded / 'mlflow.db'}")
    [listed] = there.sweeps()["sweeps"]
    assert listed["name"] == "done" and listed["place"] == "mlflow"
    far = there.view(listed["key"])
    near = json.loads(redact(json.dumps(catalog(recorded).view("done"))))  # what is recorded has no secrets
    own = ("key", "place", "state", "detail", "seconds", "study", "budget", "tracking")
    assert {name: far[name] for name in far if name not in own} == {
        name: near[name] for name in near if name not in own
    }
    assert there.importance(listed["key"]) == {}
    assert there.trial(listed["key"], "t000")["on_front"] == [1, 2, 3]
    with pytest.raises(UnknownTrial):
        there.trial(listed["key"], "t9")


def test_a_sweep_whose_journal_is_not_recorded_yet_has_an_empty_page(tmp_path: Path) -> None:
    Tracker(tmp_path, "quickstart", "new", resolved(small_spec())).sync(story()[:1])
    there = catalog(tmp_path)
    [listed] = there.sweeps()["sweeps"]
    assert there.view(listed["key"])["trials"] == []


def test_a_store_that_does_not_answer_is_reported_and_hides_nothing(tmp_path: Path) -> None:
    write_sweep(tmp_path, "done", story())
    listed = catalog(tmp_path, "http://127.0.0.1:9").sweeps()
    assert [one["name"] for one in listed["sweeps"]] == ["done"]
    assert "127.0.0.1:9" in listed["problem"]


def test_looking_creates_no_files(tmp_path: Path) -> None:
    assert catalog(tmp_path).sweeps()["sweeps"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_followed_while_it_grows(tmp_path: Path) -> None:
    rows = story()
    folder = write_sweep(tmp_path, "live", rows[:8])
    shown = catalog(tmp_path)
    before, stamp = shown.view("live"), shown.stamp("live")
    assert shown.view("live") is before  # made once for every state of the sweep
    add_rows(folder, rows[8:])
    assert shown.stamp("live") != stamp
    after = shown.view("live")
    assert after["version"] == len(rows) > before["version"]
    fresh = {trial["id"] for trial in after["trials"] if trial["seq"] > before["version"]}
    assert fresh == {str(row["trial"]) for row in rows[8:] if "trial" in row}


def test_a_damaged_journal_affects_no_other_sweep(tmp_path: Path) -> None:
    write_sweep(tmp_path, "good", story())
    bad = write_sweep(tmp_path, "bad", story())
    (bad / "journal.jsonl").write_bytes(b"what?\n" + (bad / "journal.jsonl").read_bytes())
    states = {one["name"]: one["state"] for one in catalog(tmp_path).sweeps()["sweeps"]}
    assert states == {"good": "interrupted", "bad": "damaged"}  # its story ends without a last word, and nobody drives


@pytest.mark.parametrize("key", ["", "..", "../done", "/etc", "done/../done", "run-x", "done\x00"])
def test_only_listed_sweeps_can_be_opened(key: str, tmp_path: Path) -> None:
    write_sweep(tmp_path, "done", Story().rows)
    with pytest.raises(NoSuchSweep):
        catalog(tmp_path).view(key)


def test_a_sweep_works_without_a_readable_spec(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "old", story())
    (folder / "spec.yaml").write_text("name: old\nnonsense: 1\n")
    view: dict[str, Any] = catalog(tmp_path).view("old")
    assert view["planned"] is None and len(view["trials"]) == 4
