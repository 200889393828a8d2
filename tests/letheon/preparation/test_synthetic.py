"""The synthetic experiment as a sweep: its rules, its artifacts, and a small one with the command and MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from letheon.common.errors import SpecErrors
from letheon.journal import Journal
from letheon.preparation.layout import layout
from letheon.spec.load import load_spec
from letheon.sweep.trial_config import trial_config
from tests.letheon.small_sweep import letheon, sample
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob

SPACE = """\
name: small
benchmark: {name: synthetic}
search:
  method: {choice: [npo, npo_rt]}
  forget_fraction: 1.0
  learning_rate: {loguniform: [5.0e-3, 1.0e-2]}
  beta: 1.0
scheduler: {name: asha, max_epochs: 6, grace_epochs: 2, reduction_factor: 2}
searcher: {name: random}
budget: {trials: 4}
seeds: [1, 2]
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return path


def problems(space: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(SpecErrors) as caught:
        load_spec(space, overrides)
    return caught.value.problems


@pytest.mark.parametrize(
    ("override", "place", "rule"),
    [
        ("trial.workers=2", "trial.workers", "must be 1"),
        ("trial.gpus_per_worker=1", "trial.gpus_per_worker", "must be 0"),
        ("trial.batch_size=8", "trial.batch_size", "does not apply"),
        ("trial.precision=bf16", "trial.precision", "does not apply"),
        ("search.weight_decay=0.1", "search.weight_decay", "does not apply"),
        ("model.base=smollm2", "model", "does not apply"),
        ("evaluation.max_new_tokens=8", "evaluation", "does not apply"),
        ("audit=true", "audit", "does not apply"),
        ("benchmark.people=4", "benchmark.people", "no such option"),
        ("search.method={choice: [npo, gru]}", "search.method", "more than the gradient"),
        ("search.method=rmu", "search.method", "hidden states"),
        ("search.method=altpo", "search.method", "that the target model generates"),
        ("search.method=ce_u", "search.method", "leaves out the first token"),
    ],
)
def test_settings_that_do_not_apply_are_refused(space: Path, override: str, place: str, rule: str) -> None:
    found = problems(space, override)
    assert any(place in problem and rule in problem for problem in found), found


def test_artifacts_are_named_by_all_that_they_depend_on(space: Path, tmp_path: Path) -> None:
    def keys(*overrides: str) -> list[str]:
        prepared = layout(load_spec(space, overrides), tmp_path)
        return [it.key for it in (prepared.target, *prepared.retain.values(), *prepared.baseline.values())]

    same = keys()
    assert len(set(same)) == 3
    assert keys("seeds=[2, 1]", "search.learning_rate=0.001") == same
    for other in ("benchmark.alpha=0", "seeds=[1, 3]"):
        assert not set(keys(other)) & set(same)
    half = keys("search.forget_fraction=0.5")
    assert half[0] == same[0], "the target model does not depend on what is forgotten"
    assert not set(half[1:]) & set(same)


def test_jobs_and_trials_refer_to_each_other(space: Path, tmp_path: Path) -> None:
    spec = load_spec(space, ["search.forget_fraction={choice: [0.5, 1.0]}"])
    prepared = layout(spec, tmp_path)
    assert [artifact.kind for artifact in prepared.missing] == ["target", "retain", "retain", "baseline", "baseline"]
    target, baseline = prepared.target.job, prepared.baseline[0.5].job
    assert isinstance(target, SyntheticModelsJob)
    assert isinstance(baseline, SyntheticBaselineJob)
    assert (target.alpha, target.seeds, target.fraction) == (1.0, (1, 2), None)
    assert (baseline.target, baseline.retain) == (target.folder, str(prepared.retain[0.5].path))
    config = trial_config(spec, prepared, "t000", sample(spec, 0), tmp_path / "t000")
    assert config.target == target.folder
    assert config.baseline == str(prepared.baseline[config.hyperparameters.forget_fraction].path)


def read_json(*arguments: str | Path, root: Path) -> Any:
    done = letheon(*arguments, "--json", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a finished sweep."""
    folder = tmp_path_factory.mktemp("synthetic")
    (folder / "small.yaml").write_text(SPACE)
    done = letheon("sweep", folder / "small.yaml", root=folder / "root")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "root"


@pytest.mark.slow
def test_a_sweep_runs_with_scheduler_journal_and_front(root: Path) -> None:
    rows = Journal.read(root / "sweeps" / "small" / "journal.jsonl")
    ends = {row["trial"]: row["outcome"] for row in rows if row["kind"] == "end"}
    assert sorted(ends) == ["t000", "t001", "t002", "t003"]
    assert "failed" not in ends.values()
    front = read_json("front", "small", root=root)
    stratum = front["strata"]["1"]
    start = next(row for row in rows if row["kind"] == "trial")["baseline"]
    assert stratum["knee"]["metrics"]["forget_kl"] < start["forget_kl"]
    kept = {path.parent.parent.name for path in (root / "sweeps" / "small" / "trials").glob("*/epoch-*/model")}
    assert {point["trial"] for point in stratum["points"]} == kept


@pytest.mark.slow
def test_its_checkpoint_is_registered_pulled_and_evaluated_again(root: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    knee = read_json("front", "small", root=root)["strata"]["1"]["knee"]
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    version = client.get_model_version_by_alias("small", "knee-100")
    assert version.tags["letheon.trial"] == knee["trial"]
    to = tmp_path / "knee"
    done = letheon("pull", "small", "--select", "knee", "--to", to, root=root)
    assert done.returncode == 0, done.stderr
    assert "load_file" in done.stdout
    from letheon.api.evaluate import evaluate_model

    found = evaluate_model(to, None, None)["metrics"]
    assert {"forget_kl", "retain_kl", "utility_ratio", "weight_drift"} <= set(found)
    assert found == {key: pytest.approx(knee["metrics"][key], rel=1e-9) for key in found}
