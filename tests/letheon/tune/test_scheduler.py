"""Scheduler and searcher in real Tune runs: what is journalled, what is stopped, and what never runs again."""

from __future__ import annotations

import copy
import math
import pickle
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.search import Searcher

from letheon.journal import Journal, Row, summary
from letheon.search.controller import SharedController
from letheon.spec.model import SweepSpec
from letheon.tune.scheduler import JournalScheduler
from letheon.tune.searcher import JournalSearcher

SPEC = SweepSpec.model_validate(
    {
        "name": "x",
        "search": {
            "method": "npo",
            "forget_fraction": {"choice": [0.05, 0.1]},
            "learning_rate": {"choice": [1e-5, 2e-5, 3e-5, 4e-5]},
        },
        "searcher": {"name": "grid"},
        "scheduler": {"name": "asha", "max_epochs": 4},
    }
)
BASELINES = {"0.05": {"model_utility": 0.6}, "0.1": {"model_utility": math.nan}}


class Trial(tune.Trainable):
    """Stands in for a slot. `values`: the areas of its epochs; `fault`: what goes wrong."""

    def setup(self, config: dict[str, Any]) -> None:
        self.epoch = 0

    def step(self) -> dict[str, Any]:
        config, folder, epoch = self.config["config"], Path(self.config["folder"]), self.epoch + 1
        with (folder / "epochs.txt").open("a") as log:
            log.write(f"{config['trial']} {epoch}\n")
        if config["fault"] == "failed":
            return {"epoch": self.epoch, "failed": "out of memory: 9 GB", "done": True}
        if config["fault"] == "raises" and (epoch == 2 or config["always"]):
            marker = folder / "raised"
            if config["always"] or not marker.exists():
                marker.touch()
                raise RuntimeError(f"lost in epoch {epoch}")
        self.epoch = epoch
        quality = math.nan if config["fault"] == "nan" and epoch == 2 else 20 * config["values"][epoch - 1] - 20
        metrics = {
            "log10_forget_quality": quality,
            "utility_ratio": 1.0,
            "loss": 1 / epoch,
            "note": "no metric",
            "fast_paths": "lean layers: on",
        }
        return {"epoch": epoch, "done": config["done"] and epoch == 4, **metrics}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "epoch").write_text(str(self.epoch))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.epoch = int((Path(checkpoint) / "epoch").read_text())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.epoch = 0
        return True


def case(values: list[float], fault: str = "", done: bool = False) -> dict[str, Any]:
    return {"values": values, "fault": fault.rstrip("!"), "always": fault.endswith("!"), "done": done}


CASES = {
    "t000": case([0.5, 0.6, 0.7, 0.8]),
    "t001": case([0.5, 0.6, 0.9, 0.9], done=True),
    "t002": case([0.1, 0.9, 0.9, 0.9]),
    "t003": case([0.9, 0.9, 0.9, 0.9], fault="nan"),
    "t004": case([0.9, 0.9, 0.9, 0.9], fault="failed"),
    "t005": case([0.9, 0.9, 0.9, 0.9], fault="raises"),
    "t006": case([0.9, 0.9, 0.9, 0.9], fault="raises!"),
    "t007": case([0.2, 0.2, 0.2, 0.2]),
}
ENDS = {
    "t000": ("completed", "reached max_epochs 4; rank 1 of 1 at the last rung", 4),
    "t001": ("completed", "reached max_epochs 4; rank 1 of 2 at the last rung", 4),
    "t002": ("pruned", "rung 1: best area 0.1 is rank 3 of 3, outside the best 1/3", 1),
    "t003": ("collapsed", "log10_forget_quality is nan at epoch 2, not a finite number", 2),
    "t004": ("failed", "out of memory: 9 GB", 0),
    "t005": ("completed", "reached max_epochs 4; rank 1 of 1 at the last rung", 4),
    "t006": ("failed", "RuntimeError: lost in epoch 1", 0),
    "t007": ("completed", "reached max_epochs 4; rank 2 of 2 at the last rung", 4),
}


def configure(folder: str, row: Row) -> dict[str, Any]:
    """The trainable's configuration: the controller's row and the trial's case."""
    return {"config": {"trial": row["trial"], **row["config"], **CASES[row["trial"]]}, "folder": folder}


def shared(folder: Path) -> SharedController:
    return SharedController(SPEC, folder / "journal.jsonl", BASELINES)


def run(folder: Path, name: str) -> None:
    """Run one trial after another in one reused actor; each may be restarted once."""
    controller = shared(folder)
    tune.Tuner(
        tune.with_resources(Trial, {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=JournalSearcher(controller, partial(configure, str(folder)), partial(int, 1)),
            scheduler=JournalScheduler(controller),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
        ),
    ).fit()


@pytest.fixture(scope="module")
def sweep(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep over CASES."""
    folder = tmp_path_factory.mktemp("sweep")
    run(folder, "first")
    return folder


def reports(rows: list[Row], trial: str) -> list[int]:
    return [row["epoch"] for row in rows if row["kind"] == "report" and row["trial"] == trial]


def test_every_trial_ends_once_with_its_reason(sweep: Path) -> None:
    rows = Journal.read(sweep / "journal.jsonl")
    ends = {row["trial"]: (row["outcome"], row["reason"], row["epoch"]) for row in rows if row["kind"] == "end"}
    assert ends == ENDS
    assert set(Counter((row["kind"], row["trial"], row.get("epoch")) for row in rows).values()) == {1}


def test_every_epoch_is_journalled_before_the_next(sweep: Path) -> None:
    rows = Journal.read(sweep / "journal.jsonl")
    assert {name: reports(rows, name) for name in ENDS} == {
        "t000": [1, 2, 3, 4],
        "t001": [1, 2, 3, 4],
        "t002": [1],
        "t003": [1, 2],
        "t004": [],
        "t005": [1, 2, 3, 4],  # lost its worker in epoch 2 and continued from its checkpoint
        "t006": [],
        "t007": [1, 2, 3, 4],
    }


def test_rows_have_all_that_their_readers_need(sweep: Path) -> None:
    rows = Journal.read(sweep / "journal.jsonl")
    first = next(row for row in rows if row["kind"] == "trial")
    searched = {"method": "npo", "forget_fraction": 0.05, "learning_rate": 1e-5, "seed": 0}
    assert (first["trial"], first["stratum"], first["origin"]) == ("t000", "0.05", "grid")
    assert searched.items() <= first["config"].items()
    assert None not in first["config"].values()  # only settings of the method
    assert first["baseline"] == {"model_utility": 0.6}
    report = next(row for row in rows if row["kind"] == "report")
    assert report["metrics"] == {"log10_forget_quality": -10.0, "utility_ratio": 1.0, "loss": 1.0}
    assert report["fast_paths"] == "lean layers: on"
    assert list(report["decision"]) == [
        "action", "epoch", "reason", "rung", "rank", "of", "front", "violation", "outcome",
    ]  # fmt: skip
    state = summary(rows)
    assert state.counts == {"completed": 4, "pruned": 1, "collapsed": 1, "failed": 2}


def test_a_sweep_run_again_on_its_journal_trains_nothing(sweep: Path) -> None:
    trained = (sweep / "epochs.txt").read_text()
    journal = (sweep / "journal.jsonl").read_bytes()
    run(sweep, "again")
    assert (sweep / "epochs.txt").read_text() == trained
    assert (sweep / "journal.jsonl").read_bytes() == journal


def test_a_journal_cut_off_is_completed_to_the_same_decisions(sweep: Path, tmp_path: Path) -> None:
    lines = (sweep / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines[:9]) + b'{"torn')  # t001 has reported twice
    run(tmp_path, "resumed")
    timeless = [[{**row, "time": 0} for row in Journal.read(path / "journal.jsonl")] for path in (sweep, tmp_path)]
    assert repr(timeless[0]) == repr(timeless[1])
    assert (timeless[1][-1]["trial"], timeless[1][-1]["kind"]) == ("t007", "end")
    assert "t000" not in (tmp_path / "epochs.txt").read_text()


def test_the_scheduler_pickles_and_copies_with_its_state_in_the_journal(tmp_path: Path) -> None:
    controller = shared(tmp_path)
    scheduler = JournalScheduler(controller)
    assert "0 trials ended" in scheduler.debug_string()
    assert controller().next_trial() is not None
    controller().fail("t000", "r")
    copies = [scheduler, pickle.loads(pickle.dumps(scheduler)), copy.deepcopy(scheduler)]
    assert [each.debug_string() for each in copies] == ["asha, rungs (1, 3, 4), 1 trial ended"] * 3


def test_the_searcher_pickles_and_continues_from_the_journal(tmp_path: Path) -> None:
    searcher = JournalSearcher(shared(tmp_path), partial(configure, str(tmp_path)), partial(int, 99))
    assert searcher.suggest("a")["config"]["trial"] == "t000"
    assert searcher.suggest("b")["config"]["trial"] == "t001"
    other = pickle.loads(pickle.dumps(searcher))
    assert [other.suggest(str(i))["config"]["trial"] for i in range(8)] == sorted(CASES)  # the open ones first
    assert other.suggest("i") == Searcher.FINISHED
    assert [row["trial"] for row in Journal.read(tmp_path / "journal.jsonl")] == sorted(CASES)


def test_no_trial_starts_without_a_free_slot(tmp_path: Path) -> None:
    """Neither in the journal nor by Tune, until a trial ends or a node joins."""
    slots = [1]
    searcher = JournalSearcher(shared(tmp_path), partial(configure, str(tmp_path)), lambda: slots[0])
    assert searcher.suggest("a")["config"]["trial"] == "t000"
    assert searcher.suggest("b") is None
    assert len(Journal.read(tmp_path / "journal.jsonl")) == 1
    searcher.on_trial_complete("a")
    assert searcher.suggest("b")["config"]["trial"] == "t001"
    slots[0] = 2
    assert searcher.suggest("c")["config"]["trial"] == "t002"
    assert searcher.suggest("d") is None


def test_an_end_that_a_killed_driver_did_not_write_is_written(sweep: Path, tmp_path: Path) -> None:
    lines = (sweep / "journal.jsonl").read_bytes().splitlines(keepends=True)
    last = next(i for i, line in enumerate(lines) if b'"kind":"end"' in line)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines[:last]))
    assert "1 trial ended" in JournalScheduler(shared(tmp_path)).debug_string()
    assert [{**row, "time": 0} for row in Journal.read(path)][-1] == {
        "kind": "end", "seq": last + 1, "time": 0, "trial": "t000", "outcome": "completed",
        "reason": ENDS["t000"][1], "epoch": 4,
    }  # fmt: skip
