"""The audit of one model folder, as data that travels from the driver to the workers. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainables.audit.config import AuditConfig
from trainables.config import BenchmarkConfig, EvaluationConfig, Frozen, LoraConfig, TrainingRecipe, WorkersConfig


class AuditJob(Frozen):
    """Attack a checkpoint, or the retain model it is compared with, and write the results.

    The file is JSON, written last and only once: `metrics` (name: value), `curves` (of relearning), `samples`,
    `skipped` (attack: why the data cannot support it), `seconds` (per attack). The report has the metrics.
    """

    kind: Literal["audit"] = "audit"
    model: str = Field(description="folder of the model: safetensors, configuration and tokenizer")
    benchmark: BenchmarkConfig
    fraction: float
    template: str
    evaluation: EvaluationConfig
    workers: WorkersConfig
    recipe: TrainingRecipe = Field(
        default=TrainingRecipe(), description="the target model's; relearning starts from its learning rate"
    )
    lora: LoraConfig | None = Field(default=None, description="relearning trains adapters where the trials did")
    audit: AuditConfig = AuditConfig()
    file: str = Field(description="the JSON file to write")
