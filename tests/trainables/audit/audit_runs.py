"""What each process of `test_run` does: audits under several ZeRO stages, and one relearning whose weights are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests import tiny
from tests.trainables.evaluation.small import TEMPLATE, fresh_model, small_split, small_tokenizer
from trainables.audit import AuditConfig
from trainables.audit.job import AuditJob
from trainables.audit.relearn import Relearning, relearn
from trainables.audit.run import run_audit
from trainables.config import (
    BenchmarkConfig,
    EvaluationConfig,
    LoraConfig,
    Precision,
    TrainingRecipe,
    WorkersConfig,
)
from trainables.data.template import encode_row
from trainables.group import Group
from trainables.resident import Resident
from trainables.scores import Encoded

RATES = (3e-3, 1e-3)
RECIPE = TrainingRecipe(learning_rate=RATES[0], betas=(0.9, 0.95), gradient_clip=1.0)
HOW = Relearning(steps=5, batch_size=3, learning_rate=2e-3, checks=2, seed=7)


@dataclass(frozen=True)
class Case:
    """An audit that is run; what is left out of one with fewer attacks is in another."""

    size: int
    stage: int = 0
    precision: Precision = "fp32"
    audit: Mapping[str, Any] = field(default_factory=dict)
    lora: LoraConfig | None = None

    @property
    def name(self) -> str:
        return f"audit-{self.size}-{self.stage}-{self.precision}{'' if self.lora is None else '-lora'}"


_SOME = {"attacks": ["nf4", "relearn"], "relearn_learning_rates": RATES[1:]}
FEW = (Case(1), Case(2, audit=_SOME))
REST = (
    Case(1, precision="bf16", audit={"attacks": ["prefix", "nf4"]}),
    Case(1, audit={"attacks": ["relearn"], "relearn_learning_rates": RATES[:1]}, lora=LoraConfig(rank=4)),
    # Generating with sharded weights gathers them for every token: slow, so only once.
    Case(2, stage=3, audit=_SOME),
)


def workers(size: int, stage: int, precision: Precision = "fp32") -> WorkersConfig:
    return tiny.workers(stage, precision, 2, size)


def job(folder: Path, name: str, on: WorkersConfig, lora: LoraConfig | None = None, **audit: Any) -> AuditJob:
    relearning = {"relearn_steps": 6, "relearn_checks": 1, "relearn_batch_size": 4}
    settings = {"rows": 8, "best_of": 3, **relearning, **audit}
    return AuditJob(
        model=str(folder / "model"),
        benchmark=BenchmarkConfig(people=4, evaluation_rows=6),
        fraction=0.25,
        template=TEMPLATE,
        evaluation=EvaluationConfig(max_new_tokens=12, batch_tokens=512),
        workers=on,
        recipe=RECIPE,
        lora=lora,
        audit=AuditConfig.model_validate(settings),
        file=str(folder / f"{name}.json"),
    )


def rows() -> list[Encoded]:
    return [encode_row(TEMPLATE, small_tokenizer(), row) for row in small_split().forget[:7]]


def _relearned(folder: Path, group: Group, name: str) -> None:
    """Keep the weights and the loss that every look sees."""
    looks: list[dict[str, Any]] = []
    model = fresh_model()

    def look(trained: Any, step: int, loss: float) -> None:
        weights = {key: value.detach().clone() for key, value in trained.state_dict().items()}
        looks.append({"step": step, "loss": loss, "weights": weights, "training": trained.training})

    relearn(model, rows(), HOW, RECIPE, workers(group.size, 0), group, look)
    torch.save({"looks": looks, "pristine": model.state_dict()}, folder / f"{name}-rank{group.rank}.pt")


def work(cases: tuple[Case, ...], group: Group, folder: Path) -> None:
    """The audits of this group's size, and a relearning."""
    resident = Resident()
    for case in cases:
        if case.size == group.size:
            on = workers(group.size, case.stage, case.precision)
            found = run_audit(job(folder, case.name, on, case.lora, **case.audit), resident, group)
            torch.save(found["metrics"], folder / f"{case.name}-rank{group.rank}.pt")
    _relearned(folder, group, f"relearn-{group.size}")
