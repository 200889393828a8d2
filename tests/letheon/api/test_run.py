"""A run read back: the same numbers as the command, from a folder and from a tracking store."""

from __future__ import annotations

import json
import math
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import letheon
from letheon.common.errors import NotFound
from letheon.journal import Journal, SweepLock, UnknownTrial
from letheon.spec.load import resolved
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.tracker import Tracker
from tests.letheon.cli.command import run as command
from tests.letheon.dashboard.support import LITTLE, LongStory, small_spec, write_sweep
from tests.letheon.tracking.tracking_support import Story, audited_story, front, save_front, story


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with sweeps of sixty trials and of four; the second is also in MLflow."""
    root = tmp_path_factory.mktemp("root")
    write_sweep(root, "sixty", LongStory(60).rows, "budget.trials=60")
    record(root, "done")
    return root


def ended() -> list[dict[str, Any]]:
    tale = Story()
    tale.rows = story()
    tale.add("sweep", state="finished", detail="budget.trials: all are used")
    return tale.rows


def record(root: Path, name: str, study: str = "quickstart") -> None:
    rows = ended()
    folder = write_sweep(root, name, rows)
    tracker = Tracker(root, study, name, resolved(small_spec()))
    tracker.check()
    save_front(folder / "trials", front(rows))
    tracker.finish(front(rows, name), rows, folder / "trials")
    tracker.log_journal(rows)


@pytest.fixture(params=["folder", "store"])
def run(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> letheon.Run:
    """The sweep `done`, from its folder and, with an empty root, from the store."""
    if request.param == "folder":
        return letheon.open("done", root)
    return letheon.open("done", tmp_path, tracking_uri=f"sqlite:///{root}/mlflow.db")


# ---- the same numbers everywhere


@pytest.mark.parametrize("name", ["sixty", "done"])
def test_a_front_is_the_one_of_the_command(name: str, root: Path) -> None:
    table = json.loads(command("front", name, "--json", "--root", str(root)).stdout)
    opened = letheon.open(name, root)
    assert opened.front_table() == table
    whole = opened.front()
    for key, stratum in table["strata"].items():
        frame = opened.front(float(key))
        assert list(frame.index) == [f"{point['trial']}@{point['epoch']}" for point in stratum["points"]]
        pd.testing.assert_frame_equal(frame, whole[whole["fraction"] == float(key)][list(frame.columns)])
        for point in stratum["points"]:
            row = frame.loc[f"{point['trial']}@{point['epoch']}"]
            expected = {**point["config"], **point["metrics"]}
            del expected["forget_fraction"]
            assert present(row) >= {(key, value) for key, value in expected.items() if value is not None}
            assert (row["verdict"], row["fraction"]) == (point["verdict"]["name"], float(key))
        assert list(frame.index[frame["knee"]]) == [f"{stratum['knee']['trial']}@{stratum['knee']['epoch']}"]
    metrics = ["log10_forget_quality", "forget_quality", "model_utility", "utility_ratio"]
    start = list(whole.columns).index(metrics[0])
    assert list(whole.columns)[start : start + 4] == metrics
    assert set(whole.columns[:start]) >= {"method", "learning_rate"}


def present(row: pd.Series) -> set[tuple[str, Any]]:
    return {(str(name), value) for name, value in row.items() if value is not None and value == value}  # noqa: PLR0124


def test_a_run_of_the_store_is_the_run_of_the_folder(run: letheon.Run, root: Path) -> None:
    local = letheon.open("done", root)
    assert (run.name, run.state, run.root == root) == ("done", local.state, run.folder is not None)
    pd.testing.assert_frame_equal(run.front(), local.front())
    pd.testing.assert_frame_equal(run.epochs(), local.epochs())
    trials, there = (one.trials().drop(columns="reason") for one in (run, local))  # the store's have no passwords
    pd.testing.assert_frame_equal(trials, there)
    assert run.spec == local.spec
    assert str(run.explain("t001")) == str(local.explain("t001"))
    assert run.plot_front().png(50) == local.plot_front().png(50)
    run.wait()


def test_trials(run: letheon.Run) -> None:
    frame = run.trials()
    assert list(frame.index) == ["t000", "t001", "t002", "t003"]
    assert list(frame["outcome"]) == ["completed", "pruned", "failed", "collapsed"]
    assert list(frame["fraction"]) == [0.05, 0.05, 0.1, 0.1]
    assert list(frame["epochs"]) == [3, 1, 1, 1]
    assert frame.loc["t000", "best"] == 2 and frame.loc["t000", "model_utility"] == 0.58
    assert pd.isna(frame.loc["t003", "best"]) and frame.loc["t003", "model_utility"] == 0.1  # its last epoch
    assert frame.loc["t000", "verdict"] == run.epochs().loc[("t000", 2), "verdict"]


def test_epochs_begin_with_the_target_model(run: letheon.Run) -> None:
    frame = run.epochs("t000")
    assert list(frame.index) == [("t000", epoch) for epoch in range(4)]
    assert list(frame["model_utility"]) == [0.6, 0.595, 0.58, 0.5]
    assert frame.loc[("t000", 2), "forget_quality"] == pytest.approx(10**-1.25)
    assert pd.isna(frame.loc[("t000", 0), "verdict"]) and frame.loc[("t000", 1), "decision"] == "continue"
    pd.testing.assert_frame_equal(run.trial("t000").epochs(), frame.droplevel("trial"))
    assert len(run.epochs()) == len({*run.epochs().index}) == 4 + 6


def test_audits_are_metrics_of_the_front(tmp_path: Path) -> None:
    write_sweep(tmp_path, "audited", audited_story())
    found = letheon.open("audited", tmp_path).front(0.05)["audit_worst_forget_rouge"]
    assert found["t000@2"] == 0.4 and math.isnan(found["t000@3"])


def test_a_trial(run: letheon.Run) -> None:
    trial = run.trial("t001")
    assert (trial.name, trial.fraction, trial.outcome) == ("t001", 0.05, "pruned")
    assert trial.reason == "rank 2 of 2 at rung 1"
    assert trial.config == {"method": "ga", "forget_fraction": 0.05, "learning_rate": 1e-4}
    assert repr(trial) == "Trial('t001': ga, lr 0.0001, pruned)"
    assert list(trial.samples().columns) == ["epoch", "attack", "set", "prompt", "answer", "generated"]
    with pytest.raises(UnknownTrial, match="t009"):
        run.trial("t009")


def test_samples_are_the_texts_that_the_models_generated(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "told", story())
    epoch = folder / "trials" / "t000" / "epoch-002"
    epoch.mkdir(parents=True)
    text = {"set": "forget", "question": "Who?", "answer": "Ann.", "generated": "Bob."}
    (epoch / "metrics.json").write_text(json.dumps({"samples": [text]}))
    (only,) = letheon.open("told", tmp_path).samples("t000").to_dict("records")
    assert only == {
        "epoch": 2,
        "attack": None,
        "set": "forget",
        "prompt": "Who?",
        "answer": "Ann.",
        "generated": "Bob.",
    }


def test_an_explanation_is_the_commands(root: Path) -> None:
    printed = command("explain", "done", "t000", "--root", str(root)).stdout
    assert str(letheon.open("done", root).explain("t000")) == printed.rstrip("\n")


def test_a_report_is_the_commands(run: letheon.Run, tmp_path: Path) -> None:
    page = run.report(tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "t003" in page


# ---- what can go wrong


def test_a_fraction_that_is_not_there_is_named_with_those_that_are(run: letheon.Run) -> None:
    for read in (run.front, run.plot_front):
        with pytest.raises(NotFound, match=r"fraction 0.5: not in sweep 'done'; its fractions: 0.05, 0.1"):
            read(0.5)


@pytest.mark.parametrize("rows", LITTLE.values(), ids=LITTLE)
def test_a_sweep_with_little_to_show(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_sweep(tmp_path, "little", rows)
    opened = letheon.open("little", tmp_path)
    assert {"fraction", "verdict", "knee"} <= set(opened.front().columns)
    assert {"outcome", "best"} <= set(opened.trials().columns)
    assert {"decision", "verdict"} <= set(opened.epochs().columns)
    assert opened.plot_front()._repr_png_().startswith(b"\x89PNG")
    assert "little" in opened._repr_html_() and repr(opened).startswith("Run(little: ")


def test_a_damaged_journal_is_said(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "damaged", story())
    (folder / "journal.jsonl").write_text("{\n" + (folder / "journal.jsonl").read_text())
    with pytest.raises(letheon.LetheonError, match="journal"):
        letheon.open("damaged", tmp_path)


def test_a_sweep_that_is_nowhere_is_named_with_the_closest(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"'sixt': neither under .* did you mean 'sixty'"):
        letheon.open("sixt", root)
    with pytest.raises(NotFound, match=r"'sixty': not in sqlite:.* known: done"):
        letheon.open("sixty", tmp_path, tracking_uri=f"sqlite:///{root}/mlflow.db")
    with pytest.raises(NotFound, match="none is known"):
        letheon.open("../sixty", tmp_path)


def test_a_store_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as held:  # bound but not listening, so that no other process takes the port
        held.bind(("127.0.0.1", 0))
        with pytest.raises(TrackingError):
            letheon.open("done", tmp_path, tracking_uri=f"http://127.0.0.1:{held.getsockname()[1]}")


def test_several_studies_with_a_sweep_of_this_name_need_the_study(tmp_path: Path) -> None:
    for study in ("one", "other"):
        record(tmp_path, "same", study)
        shutil.rmtree(tmp_path / "sweeps")
    with pytest.raises(NotFound, match=r"add study=… with one of one, other"):
        letheon.open("same", tmp_path)
    assert letheon.open("same", tmp_path, study="other").name == "same"


# ---- downloads


def test_a_checkpoint_is_downloaded_and_shows_itself(run: letheon.Run, tmp_path: Path) -> None:
    pulled = run.pull("knee", fraction=0.05, to=tmp_path / "best", at_most={"loss": 2.0}, require="forgotten")
    assert (pulled.trial, pulled.epoch, pulled.path) == ("t000", 2, tmp_path / "best")
    assert json.loads((tmp_path / "best" / "config.json").read_text()) == {"trial": "t000", "epoch": 2}
    assert "t000@2" in pulled._repr_html_() and "t000@2 of done" in repr(pulled)


def test_a_checkpoint_that_has_not_forgotten_is_downloaded_with_a_warning(run: letheon.Run, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"t002@1 is not forgotten"):
        run.pull("knee", fraction=0.1, to=tmp_path / "doubtful")
    with pytest.raises(letheon.LetheonError, match="--require forgotten"):
        run.pull("knee", fraction=0.1, to=tmp_path / "no", require="forgotten")
    with pytest.raises(letheon.LetheonError, match=r"--min model_utility=0\.9"):
        run.pull("knee", fraction=0.1, to=tmp_path / "no", at_least={"model_utility": 0.9})
    assert not (tmp_path / "no").exists()


# ---- while it runs


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """The folder of a sweep with a trial in its first epoch, driven by this process."""
    tale = Story()
    tale.add("sweep", state="preparing")
    tale.add("sweep", state="running", info={"slots": 1})
    tale.trial("t000", "0.05", "ga")
    folder = write_sweep(tmp_path, "live", tale.rows)
    with SweepLock(folder):
        yield folder


def test_a_run_follows_its_sweep(live: Path) -> None:
    opened = letheon.open("live", live.parent.parent)
    assert opened.state == "running" and opened.trials().loc["t000", "outcome"] == "running"
    with pytest.raises(TimeoutError, match="it goes on"):
        opened.wait(timeout=0.1, progress=False)
    journal = Journal(live / "journal.jsonl")
    journal.append("end", trial="t000", outcome="completed", reason="reached max_epochs", epoch=0)
    journal.append("sweep", state="finished", detail="budget.trials: all are used")
    opened.wait()
    assert (opened.state, opened.detail) == ("finished", "budget.trials: all are used")
    assert opened.trials().loc["t000", "outcome"] == "completed"


def test_a_sweep_that_runs_is_not_resumed_a_second_time(live: Path) -> None:
    with pytest.raises(letheon.LetheonError, match="driven by process"):
        letheon.open("live", live.parent.parent).resume()


def test_a_sweep_of_the_store_alone_is_neither_resumed_nor_interrupted(root: Path, tmp_path: Path) -> None:
    stored = letheon.open("done", tmp_path, tracking_uri=f"sqlite:///{root}/mlflow.db")
    with pytest.raises(NotFound, match="is not under"):
        stored.resume()
    assert stored.interrupt() is False
    assert letheon.open("done", root).interrupt() is False
