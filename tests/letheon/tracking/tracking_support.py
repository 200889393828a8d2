"""A small sweep for tests: journal rows, its front, its checkpoints on disk, and what MLflow has of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors.numpy import save_file

from letheon.checkpoints.manifest import Manifest, read_manifest
from letheon.common.paths import checkpoint_folder
from letheon.pareto.front import front_of
from letheon.tracking.registry import Registration
from letheon.tracking.store.connection import local_folder, open_client
from letheon.tracking.tracker import Tracker
from trainables.storage.manifest import write_manifest

Rows = list[dict[str, Any]]

SPEC: dict[str, Any] = {
    "name": "study",
    "model": {"base": "tiny"},
    "search": {"method": {"choice": ["ga", "npo_rt"]}, "learning_rate": 1e-4},
    "seeds": [0],
    "note": "https://someone:hunter2@example.org/weights",
}
START = 1_700_000_000.0


class Story:
    """Builds rows with the numbers and times of a journal."""

    def __init__(self) -> None:
        self.rows: Rows = []

    def add(self, kind: str, **fields: Any) -> None:
        seq = len(self.rows) + 1
        self.rows.append({"kind": kind, "seq": seq, "time": START + seq + 0.25, **fields})

    def trial(self, trial: str, stratum: str, method: str) -> None:
        config = {"method": method, "forget_fraction": float(stratum), "learning_rate": 1e-4, "beta": None}
        self.add("trial", trial=trial, stratum=stratum, config=config, baseline=metrics(-12.0, 0.60))

    def report(self, trial: str, epoch: int, log10: float, utility: float, rung: int | None = None) -> None:
        decision = {"action": "continue", "epoch": epoch, "rung": rung, "rank": 1, "of": 1, "front": None}
        decision |= {"violation": 0.0, "reason": "first at its rung"}
        self.add("report", trial=trial, epoch=epoch, metrics=metrics(log10, utility), decision=decision)

    def end(self, trial: str, outcome: str, epoch: int, reason: str = "because") -> None:
        self.add("end", trial=trial, outcome=outcome, reason=reason, epoch=epoch)


def metrics(log10: float, utility: float) -> dict[str, Any]:
    return {
        "log10_forget_quality": log10,
        "forget_quality": 10.0**log10,
        "model_utility": utility,
        "utility_ratio": utility / 0.60,
        "loss": 1.5,
    }


def story() -> Rows:
    """Two strata; a trial of every outcome; fronts of three points and of one."""
    tale = Story()
    tale.add("sweep", state="preparing")
    tale.add("sweep", state="running", info={"slots": 2, "retain": {"0.05": {"model_utility": 0.61}}})
    for trial, stratum, method in (
        ("t000", "0.05", "npo_rt"),
        ("t001", "0.05", "ga"),
        ("t002", "0.1", "npo_rt"),
        ("t003", "0.1", "ga"),
    ):
        tale.trial(trial, stratum, method)
    tale.report("t000", 1, -6.0, 0.595, rung=1)
    tale.report("t001", 1, -7.0, 0.55, rung=1)
    tale.report("t000", 2, -1.25, 0.58)  # p = 0.056: forgotten, as the third epoch is
    tale.end("t001", "pruned", 1, "rank 2 of 2 at rung 1")
    tale.report("t002", 1, -4.0, 0.56, rung=1)
    tale.report("t000", 3, -1.0, 0.50, rung=3)
    tale.end("t000", "completed", 3)
    tale.report("t003", 1, -3.0, 0.10, rung=1)
    tale.end("t003", "collapsed", 1, "utility_ratio 0.17 below 0.8")
    tale.end("t002", "failed", 1, "worker died: https://me:secret@host/x")
    return tale.rows


def audited_story() -> Rows:
    """The sweep, and audits of two of its checkpoints and of a retain model after its end."""
    tale = Story()
    tale.rows = story()
    for trial, epoch, rouge in (("retain-0.05", 0, 0.2), ("t000", 2, 0.4), ("t000", 3, float("nan"))):
        tale.add("audit", trial=trial, epoch=epoch, stratum="0.05", metrics={"audit_worst_forget_rouge": rouge})
    return tale.rows


def front(rows: Sequence[Mapping[str, Any]], sweep: str = "sweep") -> dict[str, Any]:
    return front_of([dict(row) for row in rows], sweep)


def save_checkpoint(trials: Path, trial: str, epoch: int) -> Manifest:
    """A folder shaped like a Hugging Face model: weights, configuration, a template in a subfolder."""
    folder = checkpoint_folder(trials, trial, epoch)
    (folder / "model" / "extra").mkdir(parents=True)
    weights = np.full((4, 4), epoch, dtype=np.float32)
    save_file({"weight": weights}, folder / "model" / "model.safetensors")
    (folder / "model" / "config.json").write_text(json.dumps({"trial": trial, "epoch": epoch}))
    (folder / "model" / "extra" / "chat_template.jinja").write_text("{{ messages }}")
    write_manifest(folder, trial, epoch, {"model_utility": 0.5, "loss": float("nan")})
    return read_manifest(folder / "manifest.json")


def save_front(trials: Path, table: Mapping[str, Any]) -> None:
    for stratum in table["strata"].values():
        for point in stratum["points"]:
            if not checkpoint_folder(trials, point["trial"], point["epoch"]).exists():
                save_checkpoint(trials, point["trial"], point["epoch"])


def save_and_register(
    root: Path,
    uri: str,
    study: str = "study",
    sweep: str = "sweep",
    rows: Sequence[Mapping[str, Any]] | None = None,
    trials: Path | None = None,
) -> Registration:
    """Save the checkpoints of the front of `rows` (the story's) in `trials` (`root`/trials); record the sweep."""
    known, trials = [dict(row) for row in (story() if rows is None else rows)], trials or root / "trials"
    table = front(known, sweep)
    save_front(trials, table)
    return Tracker(root, study, sweep, SPEC, uri).finish(table, known, trials)


def experiment_of(client: MlflowClient, study: str = "study") -> str:
    found = client.get_experiment_by_name(study)
    assert found is not None
    return str(found.experiment_id)


def recorded_runs(uri: str, study: str = "study", where: str = "") -> list[Run]:
    """The runs of a study. `where`: an MLflow filter."""
    client = open_client(uri)
    return list(client.search_runs([experiment_of(client, study)], where, max_results=1000))


def recorded_trials(uri: str, study: str = "study") -> dict[str, Run]:
    """Trial -> its run. Fails if a trial has two."""
    found = recorded_runs(uri, study, "tags.`letheon.kind` = 'trial'")
    by_trial = {run.data.tags["letheon.trial_id"]: run for run in found}
    assert len(by_trial) == len(found)
    return by_trial


def recorded_history(uri: str, run: Run, key: str) -> list[tuple[int, float]]:
    """(step, value) of a metric."""
    return [(metric.step, metric.value) for metric in open_client(uri).get_metric_history(run.info.run_id, key)]


def recorded_epochs(uri: str, study: str, key: str) -> dict[str, list[int]]:
    """Trial -> the epochs (from 1) at which the metric was recorded, duplicates included."""
    histories = {trial: recorded_history(uri, run, key) for trial, run in recorded_trials(uri, study).items()}
    return {trial: sorted(step for step, _ in points if step > 0) for trial, points in histories.items()}


def artifact(run: Run, name: str) -> Any:
    """A JSON artifact of a run whose artifacts are on this file system."""
    folder = local_folder(str(run.info.artifact_uri))
    assert folder is not None
    return json.loads((folder / name).read_text())
