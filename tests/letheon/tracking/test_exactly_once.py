"""Whichever call of MLflow's client fails, before or after it took effect, the store ends up equal.

The undisturbed sweep is recorded once. Every example records the same sweep into a copy of an empty store, fails at
some calls of the client, and continues with the same tracker or with a new one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Run

from letheon.pareto.objectives import Goals
from letheon.plots.summary import sweep_summary
from letheon.tracking.store.connection import local_folder, open_client
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.tracker import Tracker
from tests.letheon.tracking.tracking_support import (
    SPEC,
    Rows,
    audited_story,
    experiment_of,
    front,
    recorded_runs,
    save_front,
)

FULL = {**SPEC, "benchmark": {"name": "fictional"}}
DATA = {"0.05": {"forget": {"digest": "a" * 64, "rows": 8}, "retain": {"digest": "b" * 64, "rows": 152}}}
CALLS = (
    *("create_experiment", "create_run", "log_batch", "set_tag", "set_terminated", "update_run", "log_inputs"),
    *("log_artifact", "log_text", "create_registered_model", "create_model_version", "update_model_version"),
    *("set_model_version_tag", "set_registered_model_alias", "get_experiment_by_name", "search_runs"),
    *("search_model_versions", "search_registered_models", "get_registered_model", "get_run"),
)
"""Every method of the client that a tracker calls."""


class Faults:
    """Counts calls of the client, and fails at chosen ones: `before` the request is sent, or after it took effect."""

    def __init__(self, at: dict[int, bool]) -> None:
        self.count, self._at = 0, dict(at)
        self.names: set[str] = set()

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            self.names.add(name)
            before = self._at.get(self.count)
            if before:
                raise ConnectionError("refused")
            done = real(*args, **kwargs)
            if before is False:
                raise ConnectionError("reset by peer")
            return done

        return call


@contextmanager
def faulty(at: dict[int, bool]) -> Iterator[Faults]:
    faults = Faults(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(MlflowClient, name, faults.wrap(name, getattr(MlflowClient, name)))
        yield faults


def rows() -> Rows:
    """A sweep of two strata with audits and data sets."""
    known = [{**row, "info": {**row["info"], "data": DATA}} if row.get("info") else row for row in audited_story()]
    end = {"kind": "sweep", "seq": len(known) + 1, "time": known[-1]["time"] + 1, "state": "finished"}
    return [*known, end]


ROWS = rows()
BOOKS = {len(known): sweep_summary(known, Goals(), 3) for known in (ROWS[:-4], ROWS)}
AUDITS = 4  # rows that come after the first registration: three audits and the sweep's end


class Driver:
    """Records a sweep as the recorder does: sync as rows come, register, audit, register again, send the journal."""

    def __init__(self, folder: Path, uri: str, cuts: tuple[int, ...]) -> None:
        self._folder, self._uri, self._cuts = folder, uri, cuts
        self._tracker = self._new()

    def _new(self) -> Tracker:
        return Tracker(self._folder, "study", "sweep", FULL, self._uri)

    def run(self, restart: bool) -> None:
        """Repeat until all is written, after each failure with the same tracker or, with `restart`, a new one."""
        for _ in range(20):
            try:
                self._write()
            except TrackingError:
                self._tracker = self._new() if restart else self._tracker
            else:
                return
        raise AssertionError("the sweep was never recorded completely")

    def _write(self) -> None:
        for cut in self._cuts:
            self._tracker.sync(ROWS[:cut])
        for known in (ROWS[:-AUDITS], ROWS):
            self._tracker.finish(front(known), known, self._folder / "trials", {}, BOOKS[len(known)])
        self._tracker.log_journal(ROWS)


def record(folder: Path, empty: Path, cuts: tuple[int, ...], at: dict[int, bool], restart: bool) -> tuple[Any, Faults]:
    """The content of the store at the end. `folder` must be new: MLflow keeps connections to deleted files."""
    folder.mkdir()
    save_front(folder / "trials", front(ROWS))
    uri = f"sqlite:///{shutil.copyfile(empty, folder / 'mlflow.db')}"
    with faulty(at) as faults:
        Driver(folder, uri, cuts).run(restart)
    return content(uri), faults


def content(uri: str) -> Any:
    """Everything in the store, with its own identifiers replaced by names. Lists keep duplicates visible."""
    client = open_client(uri)
    experiment = client.get_experiment(experiment_of(client))
    found = recorded_runs(uri)
    names = {run.info.run_id: run.data.tags.get("letheon.trial_id", "sweep") for run in found}
    everything = {
        "runs": sorted(_run(client, run) for run in found),
        "versions": sorted(
            json.dumps([v.version, v.run_id, v.tags, v.description, v.source], sort_keys=True)
            for v in client.search_model_versions("name = 'study'")
        ),
        "aliases": dict(sorted(client.get_registered_model("study").aliases.items())),
    }
    text = json.dumps(everything, sort_keys=True)
    for identifier, name in names.items():
        text = text.replace(identifier, name)
    folder = local_folder(str(experiment.artifact_location))
    assert folder is not None
    return json.loads(text.replace(str(folder), "ARTIFACTS"))


def _run(client: MlflowClient, run: Run) -> str:
    points = {
        key: [(m.step, m.timestamp, repr(m.value)) for m in client.get_metric_history(run.info.run_id, key)]
        for key in sorted(run.data.metrics)
    }
    inputs = run.inputs.dataset_inputs if run.inputs else ()
    folder = local_folder(str(run.info.artifact_uri))
    assert folder is not None
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    facts = [run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.data.params, run.data.tags]
    return json.dumps([*facts, points, sorted(one.dataset.name for one in inputs), files], sort_keys=True)


class Whole:
    """The store of an undisturbed sweep. Its repr is short, since its content is long."""

    def __init__(self, folder: Path, empty: Path) -> None:
        self.content, self.faults = record(folder, empty, (len(ROWS),), {}, restart=False)

    def __repr__(self) -> str:
        return "the undisturbed sweep"

    def differences(self, found: Any) -> list[str]:
        """Where the other store differs, one line per place."""
        return list(_differences(self.content, found, ""))


def _differences(one: Any, other: Any, place: str) -> Iterator[str]:
    if isinstance(one, str) and isinstance(other, str) and one.startswith(("{", "[")) and other.startswith(one[0]):
        one, other = json.loads(one), json.loads(other)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), f"{place}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(left, right, f"{place}/{number}")
    elif one != other:
        yield f"{place}: {one!r:.300} against {other!r:.300}"


@pytest.fixture(scope="module")
def undisturbed(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("once") / "whole", empty_store)


def test_the_list_of_calls_is_complete(undisturbed: Whole) -> None:
    """An undisturbed sweep makes every call of the list except those that only a second driver or an audit needs."""
    assert undisturbed.faults.count > 100
    assert set(CALLS) - undisturbed.faults.names <= {"update_run", "get_run"}


@given(
    at=st.dictionaries(st.integers(1, 140), st.booleans(), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, len(ROWS) - AUDITS), max_size=3).map(sorted).map(tuple),
    restart=st.booleans(),
)
@settings(
    max_examples=4,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking costs minutes and shows no more
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_store_that_fails_anywhere_ends_up_equal(
    undisturbed: Whole, empty_store: Path, tmp_path: Path, at: dict[int, bool], cuts: tuple[int, ...], restart: bool
) -> None:
    found, _ = record(tmp_path / uuid.uuid4().hex, empty_store, cuts, at, restart)
    assert undisturbed.differences(found) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_single_call_may_fail(undisturbed: Whole, empty_store: Path, tmp_path: Path) -> None:
    for call in range(1, undisturbed.faults.count + 1):
        before, restart = bool(call % 2), bool(call // 2 % 2)
        found, faults = record(tmp_path / str(call), empty_store, (6, 12), {call: before}, restart)
        assert faults.count >= undisturbed.faults.count
        assert undisturbed.differences(found) == [], f"call {call}, before {before}, restart {restart}"
        shutil.rmtree(tmp_path / str(call))
