"""A whole sweep with the real command: killed in the middle, resumed, its checkpoint pulled and evaluated again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import Journal
from letheon.sweep.resume_checks import already_finished
from letheon.sweep.sweep import find_sweep
from tests.letheon.small_sweep import kill, letheon, processes_of, run, start, wait_for, write_space
from tests.letheon.tracking.tracking_support import recorded_history, recorded_runs, recorded_trials

TRIALS = 6
EPOCHS = 4

pytestmark = pytest.mark.timeout(900)  # three drivers, one after another, before the first test


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a sweep that was killed twice, interrupted by Ctrl-C once, and resumed to its end."""
    folder = tmp_path_factory.mktemp("sweep")
    space, place = write_space(folder), folder / "root"
    journal = place / "sweeps" / "small" / "journal.jsonl"

    def reports() -> int:
        return sum(row["kind"] == "report" for row in Journal.read(journal))

    driver = start("sweep", space, root=place, log=folder / "first.log")
    (folder / "killed").write_text(str(driver.pid))
    wait_for(lambda: reports() >= 5, driver)
    kill(driver)
    before = reports()
    driver = start("resume", "small", root=place, log=folder / "second.log")
    wait_for(lambda: reports() >= before + 3, driver)
    os.kill(driver.pid, signal.SIGINT)
    assert driver.wait(120) == 130
    assert "letheon resume small" in (folder / "second.log").read_text()
    done = letheon("resume", "small", root=place)
    (folder / "third.log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def rows(root: Path) -> list[dict[str, Any]]:
    return Journal.read(root / "sweeps" / "small" / "journal.jsonl")


def read_json(*arguments: str, root: Path) -> dict[str, Any]:
    done = letheon(*arguments, "--json", root=root)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def test_every_trial_ended_once_and_every_epoch_was_reported_once(rows: list[dict[str, Any]]) -> None:
    ends = Counter(row["trial"] for row in rows if row["kind"] == "end")
    assert ends == {f"t{i:03d}": 1 for i in range(TRIALS)}
    reports = Counter((row["trial"], row["epoch"]) for row in rows if row["kind"] == "report")
    assert set(reports.values()) == {1}
    last = {row["trial"]: row["epoch"] for row in rows if row["kind"] == "end"}
    assert set(reports) == {(trial, epoch) for trial, end in last.items() for epoch in range(1, end + 1)}
    assert [row["state"] for row in rows if row["kind"] == "sweep"].count("running") == 3


def test_finished_trials_were_not_run_again(rows: list[dict[str, Any]]) -> None:
    resumed = [row["seq"] for row in rows if row["kind"] == "sweep" and row["state"] == "running"]
    for end in (row for row in rows if row["kind"] == "end"):
        later = [row for row in rows if row.get("trial") == end["trial"] and row["seq"] > end["seq"]]
        assert later == [], f"{end['trial']} ended before one of {resumed} and continued"


def test_mlflow_has_each_trial_and_each_metric_once(root: Path, rows: list[dict[str, Any]]) -> None:
    uri = f"sqlite:///{root}/mlflow.db"
    runs = recorded_trials(uri, "small")
    assert sorted(runs) == [f"t{i:03d}" for i in range(TRIALS)]
    assert len(recorded_runs(uri, "small")) == TRIALS + 1
    outcomes = {row["trial"]: row["outcome"] for row in rows if row["kind"] == "end"}
    for trial, one in runs.items():
        assert one.data.tags["letheon.outcome"] == outcomes[trial]
        fast_paths = one.data.tags["letheon.fast_paths"]
        assert "packed rectangles: on" in fast_paths and "off" not in fast_paths
        assert one.info.status == ("FINISHED" if outcomes[trial] == "completed" else "KILLED")
        wanted = {row["epoch"]: row["metrics"] for row in rows if row["kind"] == "report" and row["trial"] == trial}
        for key in ("model_utility", "forget_quality", "loss"):
            history = [point for point in recorded_history(uri, one, key) if point[0] > 0]
            assert sorted(history) == sorted((epoch, metrics[key]) for epoch, metrics in wanted.items())


def test_the_weights_that_are_kept_are_those_of_the_front(root: Path) -> None:
    front = read_json("front", "small", root=root)
    points = {(point["trial"], point["epoch"]) for stratum in front["strata"].values() for point in stratum["points"]}
    kept = {
        (path.parent.parent.name, int(path.parent.name[6:]))
        for path in (root / "sweeps" / "small" / "trials").glob("*/epoch-*/model")
    }
    settled = {key for key, stratum in front["strata"].items() if stratum["points"]}
    assert settled, "no stratum has a front; the small sweep must be tuned"
    assert points <= kept
    assert len(settled) < len(front["strata"]) or points == kept


def test_status_and_explain_report_what_happened(root: Path) -> None:
    status = read_json("status", "small", root=root)
    assert status["sweep"] == "small"
    assert status["state"] == "finished"
    assert len(status["trials"]) == TRIALS
    assert {"trial", "state", "outcome", "reason", "epoch", "config", "metrics"} <= set(status["trials"][0])
    stopped = next(trial for trial in status["trials"] if trial["outcome"] in ("pruned", "completed"))
    explained = read_json("explain", "small", stopped["trial"], root=root)
    assert len(explained["decisions"]) == stopped["epoch"]
    assert explained["decisions"][-1]["reason"] == stopped["reason"]
    assert {"epoch", "rung", "rank", "of", "front", "violation", "action", "reason"} <= set(explained["decisions"][0])


def test_the_knee_is_pulled_verified_and_evaluates_to_its_recorded_metrics(root: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    front = read_json("front", "small", root=root)
    fraction, stratum = next((key, value) for key, value in front["strata"].items() if value["points"])
    to = tmp_path / "knee"
    done = letheon("pull", "small", "--select", "knee", "--fraction", fraction, "--to", to, root=root)
    assert done.returncode == 0, done.stderr
    recorded = stratum["knee"]["metrics"]
    evaluated = json.loads(run("evaluate", to, "--json").stdout)
    assert evaluated["verdict"]["name"] == stratum["knee"]["verdict"]["name"]
    found = evaluated["metrics"]
    names = [name for name in recorded if name in found and not name.endswith("seconds")]
    assert {"model_utility", "forget_quality", "utility_ratio", "forget_rouge"} <= set(names)
    for name in names:
        assert found[name] == pytest.approx(recorded[name], abs=1e-3)
    model = AutoModelForCausalLM.from_pretrained(to)
    prompt = AutoTokenizer.from_pretrained(to)("Question: Who?\nAnswer:", return_tensors="pt")
    assert model(**prompt).logits.shape[-1] == model.config.vocab_size


def test_no_process_and_no_temporary_folder_is_left(root: Path) -> None:
    def abandoned() -> list[Path]:
        """Temporary folders of the killed driver, without those of other tests."""
        pid = (root.parent / "killed").read_text()
        return list(Path(tempfile.gettempdir()).glob(f"letheon-{pid}-*"))

    wait_for(lambda: not any(map(processes_of, [root, *abandoned()])), seconds=30)
    assert abandoned() == []


def test_a_taken_name_and_an_unknown_name_are_refused(root: Path) -> None:
    space = root.parent / "small.yaml"
    refused = letheon("sweep", space, "--name", "small", root=root)
    assert refused.returncode == 2
    assert "letheon resume small" in refused.stderr
    unknown = letheon("resume", "smal", root=root)
    assert unknown.returncode == 4
    assert "small" in unknown.stderr


def test_resuming_a_finished_sweep_changes_nothing(root: Path) -> None:
    folder = root / "sweeps" / "small"
    before = {
        path: path.read_bytes() for path in (folder / "journal.jsonl", folder / "report.html", root / "mlflow.db")
    }
    done = letheon("resume", "small", root=root)
    assert done.returncode == 0, done.stderr
    assert "sweep small had already finished" in done.stdout and "nothing left to do" in done.stdout
    assert {path: path.read_bytes() for path in before} == before


def test_a_sweep_with_more_to_do_is_not_finished(root: Path, tmp_path: Path) -> None:
    sweep = find_sweep("small", root)
    assert already_finished(sweep) is not None
    for name, value in (("budget", sweep.spec.budget.model_copy(update={"trials": 7})), ("audit", True)):
        assert already_finished(replace(sweep, spec=sweep.spec.model_copy(update={name: value}))) is None
    shutil.copytree(sweep.folder, tmp_path / "sweeps" / "small")
    assert already_finished(find_sweep("small", tmp_path)) is None, "its records are not here"
    shutil.copy(root / "mlflow.db", tmp_path)
    assert already_finished(find_sweep("small", tmp_path)) is not None
    (tmp_path / "sweeps" / "small" / "report.html").unlink()
    assert already_finished(find_sweep("small", tmp_path)) is None
