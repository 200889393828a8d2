"""Synthetic jobs as a worker runs them: each artifact is made once, trials resume, checkpoints can be measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainables.config import BenchmarkConfig, EvaluationConfig, Hyperparameters, TrialConfig, WorkersConfig
from trainables.evaluation.metrics.synthetic import METRICS
from trainables.jobs.specs import JOB, TrialJob
from trainables.jobs.synthetic import run_synthetic
from trainables.runtime.ranks import Group
from trainables.storage.atomic_folder import MARKER
from trainables.synthetic.files import measure_folder
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob

SEEDS = (1, 2)
EPOCHS = 3


class Recorded:
    """A channel that lets every epoch run until `stop_after`, and keeps the reports."""

    def __init__(self, stop_after: int = 1_000) -> None:
        self.stop_after = stop_after
        self.reports: dict[int, dict[str, Any]] = {}

    def may_run(self, epoch: int) -> bool:
        return epoch <= self.stop_after

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        self.reports[epoch] = metrics


def run(job: Any, stop_after: int = 1_000) -> dict[int, dict[str, Any]]:
    """As the worker: through JSON."""
    channel = Recorded(stop_after)
    assert run_synthetic(JOB.validate_python(job.model_dump(mode="json")), Group(), channel)
    return channel.reports


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Target and retain models with their baseline, pre-trained for 200 steps."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainables.synthetic.prepare.PRETRAINING_STEPS", 200)
        for kind, fraction in (("target", None), ("retain", 0.5)):
            job = SyntheticModelsJob(alpha=1.0, seeds=SEEDS, fraction=fraction, folder=str(folder / kind))
            assert run(job)[1]["loss"] < 0.69
            assert run(job)[1] == {}, "what is there is not made again"
    target, retain, file = (str(folder / name) for name in ("target", "retain", "baseline.json"))
    run(SyntheticBaselineJob(alpha=1.0, seeds=SEEDS, fraction=0.5, target=target, retain=retain, file=file))
    return folder


def config(models: Path, folder: Path, method: str = "npo_rt", seed: int = 2) -> TrialConfig:
    return TrialConfig(
        trial="t000",
        hyperparameters=Hyperparameters(method=method, forget_fraction=0.5, learning_rate=5e-3, beta=1.0, seed=seed),
        max_epochs=EPOCHS,
        benchmark=BenchmarkConfig(name="synthetic"),
        workers=WorkersConfig(),
        evaluation=EvaluationConfig(),
        target=str(models / "target"),
        target_digest="",
        template="none",
        reference_cache="",
        baseline=str(models / "baseline.json"),
        folder=str(folder),
    )


def weights(folder: Path, epoch: int) -> torch.Tensor:
    return load_file(folder / f"epoch-{epoch:03d}" / "model" / "model.safetensors")["weights"]


def test_baselines_hold_means_and_seeds(models: Path) -> None:
    found = json.loads((models / "baseline.json").read_text())
    for name in ("target", "retain"):
        each = [found[name]["seeds"][str(seed)] for seed in SEEDS]
        assert found[name]["metrics"] == {key: pytest.approx(sum(one[key] for one in each) / 2) for key in each[0]}
    assert found["target"]["metrics"]["utility_ratio"] == 1.0
    assert found["retain"]["metrics"]["forget_kl"] == 0.0
    assert (models / "target" / MARKER).exists()


def test_a_trial_reports_measures_and_leaves_checkpoints(models: Path, tmp_path: Path) -> None:
    trial = config(models, tmp_path / "t000")
    reports = run(TrialJob(config=trial))
    assert sorted(reports) == [1, 2, 3]
    assert set(METRICS) | {"loss", "forget_loss", "retain_loss", "utility_ratio", "step"} <= set(reports[1])
    assert reports[3]["step"] == 75
    assert 0 < reports[1]["weight_drift"] < reports[3]["weight_drift"]
    model = tmp_path / "t000" / "epoch-002" / "model"
    again = measure_folder(model)["metrics"]
    assert again == {key: pytest.approx(reports[2][key], rel=1e-12) for key in again}
    assert set(METRICS) <= set(again)


def test_a_resumed_trial_equals_an_uninterrupted_one(models: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(TrialJob(config=config(models, whole)))
    assert sorted(run(TrialJob(config=config(models, parts)), stop_after=1)) == [1]
    reports = run(TrialJob(config=config(models, parts)))
    assert sorted(reports) == [1, 2, 3]
    assert torch.equal(weights(parts, 3), weights(whole, 3))


def test_every_seed_has_its_own_problem(models: Path, tmp_path: Path) -> None:
    reports = [run(TrialJob(config=config(models, tmp_path / f"s{seed}", seed=seed)), 1)[1] for seed in SEEDS]
    assert reports[0]["forget_kl"] != reports[1]["forget_kl"]


def test_more_than_one_worker_is_refused(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"workers 2 must be 1: .*set trial\.workers: 1"):
        run_synthetic(TrialJob(config=config(models, tmp_path)), Group(0, 2), Recorded())


def test_other_jobs_are_ignored() -> None:
    content = {"kind": "base", "base": "tiny", "benchmark": {}, "folder": "nowhere"}
    assert not run_synthetic(JOB.validate_python(content), Group(), Recorded())
