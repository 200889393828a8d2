"""Audits: which models are attacked, each only once even after a kill, and where the results appear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from letheon.cli import app
from letheon.journal import Journal
from letheon.preparation.layout import layout
from letheon.spec.load import load_spec
from letheon.sweep.audit import _RowWriter, audit_facts, is_audited, subjects
from letheon.sweep.sweep import Sweep
from tests.letheon.small_sweep import kill, letheon, start, wait_for, write_space

pytestmark = pytest.mark.timeout(1200)  # two starts of Ray; less than a minute on two idle cores

SPACE = """\
name: attacked
benchmark: {name: fictional, people: 4, evaluation_rows: 4}
model: {base: tiny, recipe: {epochs: 12}}
evaluation: {max_new_tokens: 8}
search: {method: npo_rt, forget_fraction: 0.5, learning_rate: 4.0e-4, beta: 0.1}
constraints: {audit_worst_forget_rouge: {max: 1.0}}
scheduler: {name: none, max_epochs: 1, collapse: null}
budget: {trials: 1}
trial: {batch_size: 8}
audit: {attacks: [relearn, nf4], rows: 4, relearn_steps: 1, relearn_checks: 1}
"""


def write_row(journal: Journal, trial: str, epoch: int, quality: float, utility: float) -> None:
    metrics = {"log10_forget_quality": quality, "model_utility": utility, "utility_ratio": utility / 0.5}
    journal.append("report", trial=trial, epoch=epoch, metrics=metrics, decision={})


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """Three checkpoints: two on the front."""
    spec = load_spec(write_space(tmp_path, SPACE))
    made = Sweep(spec, "attacked", tmp_path)
    journal = Journal(made.journal)
    config = {"method": "npo_rt", "forget_fraction": 0.5}
    journal.append("trial", trial="t000", stratum="0.5", config=config, baseline={"model_utility": 0.5})
    for epoch, quality, utility in ((1, -3.0, 0.48), (2, -4.0, 0.47), (3, -1.0, 0.45)):
        write_row(journal, "t000", epoch, quality, utility)
    journal.append("sweep", state="finished")
    return made


def test_the_front_and_its_retain_model_are_attacked_the_same_way(sweep: Sweep) -> None:
    prepared = layout(sweep.spec, sweep.root)
    found = list(subjects(sweep, prepared, Journal.read(sweep.journal)))
    assert [it.name for it in found] == ["retain-0.5", "t000@1", "t000@3"]
    assert found[0].job.model == str(prepared.retain[0.5].path)
    assert found[1].job.model == str(sweep.trials / "t000" / "epoch-001" / "model")
    assert len({it.job.model_copy(update={"model": "", "file": ""}).digest() for it in found}) == 1
    assert Path(found[0].job.file).parent == sweep.root / "models"  # shared with other sweeps of this model
    assert Path(found[1].job.file).parent == sweep.folder / "audits"


def test_the_name_of_a_retain_models_audit_depends_on_all_its_inputs(sweep: Sweep) -> None:
    def retain_file(*overrides: str) -> str:
        spec = load_spec(sweep.root / "small.yaml", overrides)
        other = Sweep(spec, "attacked", sweep.root)
        return next(subjects(other, layout(spec, sweep.root), Journal.read(sweep.journal))).job.file

    assert retain_file() == retain_file() == retain_file("search.beta=0.2")
    for change in ("audit.rows=5", "model.recipe.epochs=11", "evaluation.max_new_tokens=9"):
        assert retain_file(change) != retain_file()


def test_rows_of_checkpoints_wait_for_the_retain_models(sweep: Sweep) -> None:
    journal = Journal(sweep.journal)
    prepared = layout(sweep.spec, sweep.root)
    retain, first, second = subjects(sweep, prepared, journal.rows)
    for it, leak in ((retain, 0.2), (first, 0.7), (second, 0.25)):
        Path(it.job.file).parent.mkdir(parents=True, exist_ok=True)
        metrics = {"audit_no_attack_forget_rouge": leak, "audit_worst_forget_rouge": leak}
        Path(it.job.file).write_text(json.dumps({"metrics": metrics}))
    writer = _RowWriter(journal, {"0.5"})
    writer.add(first)
    assert not [row for row in journal.rows if row["kind"] == "audit"]
    writer.add(retain)
    assert not is_audited(sweep, journal.rows)
    writer.add(second)
    assert is_audited(sweep, journal.rows)
    assert [row["trial"] for row in journal.rows if row["kind"] == "audit"] == ["retain-0.5", "t000", "t000"]
    facts = audit_facts(sweep, journal.rows)["strata"]["0.5"]
    excess = [one["metrics"]["audit_worst_forget_rouge_excess"] for one in facts["checkpoints"]]
    assert excess == pytest.approx([0.5, 0.05])
    assert facts["retain"]["audit_worst_forget_rouge"] == 0.2


# ---- a real sweep: killed after the first audit, resumed, audited again


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    space, place = write_space(folder, SPACE), folder / "root"

    def audits() -> list[Path]:
        return [*place.glob("models/audit-*.json"), *place.glob("sweeps/*/audits/*.json")]

    driver = start("sweep", space, root=place, log=folder / "first.log")
    wait_for(lambda: bool(audits()), driver, seconds=600)
    kill(driver)
    before = {path: path.stat().st_mtime_ns for path in audits()}
    done = letheon("resume", "attacked", root=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before, "an audit was repeated"
    return place


def run(*arguments: str | Path, root: Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--root", str(root)])


def read_json(*arguments: str, root: Path) -> dict[str, Any]:
    done = run(*arguments, "--json", root=root)
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.mark.slow
def test_resume_finishes_a_killed_audit(root: Path) -> None:
    rows = Journal.read(root / "sweeps" / "attacked" / "journal.jsonl")
    assert sorted((row["trial"], row["epoch"]) for row in rows if row["kind"] == "audit") == [
        ("retain-0.5", 0),
        ("t000", 1),
    ]
    assert rows[-1]["state"] == "finished"
    facts = read_json("audit", "attacked", root=root)
    stratum = facts["strata"]["0.5"]
    [checkpoint] = stratum["checkpoints"]
    names = {f"audit_{attack}_forget_rouge" for attack in ("no_attack", "relearn", "nf4", "worst")}
    assert names <= set(checkpoint["metrics"]) and names <= set(stratum["retain"])
    assert Journal.read(root / "sweeps" / "attacked" / "journal.jsonl")[: len(rows)] == rows


@pytest.mark.slow
def test_audit_metrics_are_on_the_front_and_in_mlflow_and_limit_pull(root: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    [point] = read_json("front", "attacked", root=root)["strata"]["0.5"]["points"]
    relearned = point["metrics"]["audit_relearn_forget_rouge"]
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    [version] = client.search_model_versions("name = 'attacked'")
    assert float(version.tags["audit_worst_forget_rouge"]) == pytest.approx(
        point["metrics"]["audit_worst_forget_rouge"], rel=1e-5
    )
    child = client.get_run(str(version.run_id))
    assert child.data.metrics["audit_relearn_forget_rouge"] == pytest.approx(relearned)
    refused = run("pull", "attacked", "--to", tmp_path / "a", "--max-relearn", str(relearned - 0.01), root=root)
    assert (refused.exit_code, "relax the limit" in refused.stderr) == (2, True)
    taken = run("pull", "attacked", "--to", tmp_path / "b", "--max-relearn", str(relearned + 0.01), root=root)
    assert taken.exit_code == 0, taken.output
    assert (tmp_path / "b" / "model.safetensors").exists()
