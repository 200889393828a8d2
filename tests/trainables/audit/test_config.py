"""Audit configurations: defaults, validation, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from trainables.audit.config import AuditConfig
from trainables.audit.job import AuditJob
from trainables.config import BenchmarkConfig, EvaluationConfig, WorkersConfig
from trainables.jobs.specs import JOB


def test_the_page_has_the_defaults() -> None:
    page = Path(__file__).parents[3] / "docs" / "audit.md"
    block = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block)["audit"] == AuditConfig().model_dump(mode="json")


def test_a_job_travels_as_json() -> None:
    job = AuditJob(
        model="m",
        benchmark=BenchmarkConfig(),
        fraction=0.1,
        template="plain",
        evaluation=EvaluationConfig(),
        workers=WorkersConfig(),
        audit=AuditConfig(attacks=("relearn", "nf4"), rows=8),
        file="audit.json",
    )
    assert JOB.validate_python(json.loads(json.dumps(job.model_dump(mode="json")))) == job


@pytest.mark.parametrize(
    "wrong",
    [
        {"attacks": ()},
        {"attacks": ("nf5",)},
        {"attacks": ("nf4", "nf4")},
        {"rows": 1},
        {"temperature": 0},
        {"relearn_share": 1.0},
        {"relearn_learning_rates": ()},
        {"relearn_learning_rates": (1e-5, 0)},
        {"relearn_learning_rates": (float("nan"),)},
        {"best_off": 8},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AuditConfig.model_validate(wrong)
