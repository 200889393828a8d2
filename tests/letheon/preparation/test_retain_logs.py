"""A published log takes the place of a retain model: checked before anything starts, named by its content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letheon.common.errors import SpecErrors
from letheon.preparation.layout import layout
from letheon.preparation.retain_logs import RetainLogRefused, log_notes
from letheon.spec.load import dump_spec, load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.plan import make_plan
from letheon.sweep.setup import digests
from tests.letheon.small_sweep import write_space
from trainables.data.benchmarks.registry import load_benchmark
from trainables.jobs.specs import BaselineJob


def spec_with(folder: Path, log: Path, *overrides: str) -> SweepSpec:
    space = write_space(folder)
    return load_spec(space, ["search.forget_fraction=0.25", f"model.retain_log={{0.25: {log}}}", *overrides])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The truth ratios of as many rows as there are."""
    benchmark = load_benchmark(load_spec(write_space(tmp_path)).benchmark)
    return written(tmp_path / "log.json", len(benchmark.split(0.25).evaluation["forget"].rows), 0.5)


def written(file: Path, rows: int, ratio: float) -> Path:
    values = {str(row): {"score": ratio} for row in range(rows)}
    file.write_text(json.dumps({"forget_truth_ratio": {"agg_value": ratio, "value_by_index": values}}))
    return file


def test_the_log_is_used_and_only_the_target_is_made(tmp_path: Path, log: Path) -> None:
    spec = spec_with(tmp_path, log)
    found = layout(spec, tmp_path / "root")
    assert [artifact.kind for artifact in found.missing] == ["base", "target", "baseline"]
    job = found.baseline[0.25].job
    assert isinstance(job, BaselineJob) and job.retain_is_log and job.retain == str(log)
    (tmp_path / "again.yaml").write_text(dump_spec(spec))
    assert load_spec(tmp_path / "again.yaml") == spec


def test_nothing_is_trained_if_the_target_is_given_too(tmp_path: Path, log: Path) -> None:
    spec = spec_with(tmp_path, log, "model.target=open-unlearning/tofu_Llama-3.2-1B-Instruct_full")
    found = layout(spec, tmp_path / "root")
    assert [artifact.kind for artifact in found.missing] == ["baseline"]
    assert str(found.target.path) == "open-unlearning/tofu_Llama-3.2-1B-Instruct_full"


def test_another_log_has_another_digest(tmp_path: Path, log: Path) -> None:
    spec = spec_with(tmp_path, log)
    before = digests(layout(spec, tmp_path))
    written(log, len(json.loads(log.read_text())["forget_truth_ratio"]["value_by_index"]), 0.6)
    after = digests(layout(spec, tmp_path))
    assert {name for name in before if before[name] != after[name]} == {"retain_digest"}


def test_a_log_of_other_rows_is_refused_before_anything_starts(tmp_path: Path, log: Path) -> None:
    spec = spec_with(tmp_path, written(log, 3, 0.5))
    with pytest.raises(RetainLogRefused, match="3 rows with truth ratios instead of rows 0 to"):
        layout(spec, tmp_path)


def test_plan_names_what_will_be_missing(tmp_path: Path, log: Path) -> None:
    spec = spec_with(tmp_path, log)
    (note,) = log_notes(spec).values()
    assert "loss_quality" in note and "forget_quality" not in note
    assert any(note in line for line in make_plan(spec, tmp_path).notes)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.retain_log={0.25: /nope}"], "is not a file; give an evaluation log"),
        (["audit=true"], "an audit attacks the retain model too"),
        (["model.retain={0.25: owner/name}"], "model.retain has a model for this fraction too"),
    ],
)
def test_mistakes_are_refused_with_the_fix(tmp_path: Path, log: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(SpecErrors) as caught:
        spec_with(tmp_path, log, *overrides)
    assert message in str(caught.value)
