"""How far MLflow lags behind the journal in `tracking.json` and `status`, and how often the journal is uploaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import Journal, TrackingHealth, status_of, tracking_health
from letheon.sweep.mirror import Mirror, Throttle
from letheon.tracking.reader.sweeps import find_sweep, open_store, read_rows
from letheon.tracking.tracker import Tracker
from tests.letheon.tracking.tracking_support import SPEC, story


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_journal_is_uploaded_once_per_minute_and_for_one_percent_of_the_time_at_most() -> None:
    clock = Clock()
    throttle, seen = Throttle(60.0, clock=clock), []
    assert throttle.due
    for took, wait in ((0.0, 60), (0.1, 60), (5.0, 500)):
        throttle.record_duration(took)
        for seconds in (wait - 1, 1):
            clock.now += seconds
            seen.append(throttle.due)
    assert seen == [False, True] * 3


def test_a_slow_store_is_written_less_often_but_never_too_late() -> None:
    clock = Clock()
    rounds, waits = Throttle(1.0, 30.0, clock=clock), []
    for took in (0.001, 0.1, 2.0):
        rounds.record_duration(took)
        began = clock.now
        while not rounds.due:
            clock.now += 1
        waits.append(clock.now - began)
    assert waits == [1, 10, 30] and Throttle(1.0, 30.0, clock=clock).due


def test_the_time_of_health_changes_only_with_its_state(tmp_path: Path) -> None:
    clock = Clock()
    health = TrackingHealth(tmp_path, "http://host", clock)
    assert tracking_health(tmp_path) is None
    health.ok()
    clock.now += 5
    health.ok()
    assert tracking_health(tmp_path) == {
        "state": "ok",
        "since": 1000.0,
        "cause": None,
        "behind": 0,
        "where": "http://host",
    }
    health.degraded("refused", 3)
    clock.now += 5
    TrackingHealth(tmp_path, "http://host", clock).degraded("refused", 9)  # by the driver of a resume
    found = tracking_health(tmp_path)
    assert found is not None
    assert (found["state"], found["since"], found["cause"], found["behind"]) == ("degraded", 1005.0, "refused", 9)
    assert [path.name for path in tmp_path.iterdir()] == ["tracking.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "fine", "since": 1}', '{"state": "ok"}', "\x00"])
def test_an_invalid_health_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "tracking.json").write_text(text)
    assert tracking_health(tmp_path) is None


def test_a_store_that_refuses_is_degraded_until_it_has_everything(tmp_path: Path) -> None:
    blocked = tmp_path / "store"
    blocked.write_text("a file where the database's folder must be")
    folder = tmp_path / "sweep"
    journal, rows = Journal(folder / "journal.jsonl"), story()
    for row in rows:
        journal.append(**{name: value for name, value in row.items() if name not in ("seq", "time")})
    tracker = Tracker(tmp_path, "study", "sweep", SPEC, f"sqlite:///{blocked}/mlflow.db")
    clock = Clock()
    mirror = Mirror(tracker, folder, clock)
    assert mirror.sync_new(journal.rows) is not None
    state = status_of(folder)
    assert state.tracking is not None
    assert (state.tracking["state"], state.tracking["behind"]) == ("degraded", len(rows))
    assert "sqlite" in state.tracking["cause"] and json.dumps(state.to_json()["tracking"])
    blocked.unlink()
    blocked.mkdir()
    clock.now += 60
    assert mirror.sync_new(journal.rows[:4]) is None  # the first records come with the journal
    store = open_store(tmp_path, tracker.uri)
    assert len(read_rows(store, find_sweep(store, "sweep")[1])) == 4
    assert mirror.sync_all(journal.rows) is None
    found: dict[str, Any] | None = tracking_health(folder)
    assert found is not None and (found["state"], found["behind"], found["cause"]) == ("ok", 0, None)
    client = open_store(tmp_path, tracker.uri)
    assert len(read_rows(client, find_sweep(client, "sweep")[1])) == len(rows)
