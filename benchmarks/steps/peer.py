"""open-unlearning's own trainer, collator and data set out of a checkout, over the same rows.

Its packages' `__init__` import all of its dependencies, so the modules that matter are imported without them. One thing
is adapted: its `compute_loss` was written for a transformers that did not yet hand it the number of items.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from trainables.batching.rows import IGNORED, Encoded
from trainables.batching.schedule import StepRows

from .case import BETA, CLIP, RETAIN_WEIGHT, WEIGHT_DECAY, Case


def _expose(checkout: Path) -> None:
    """Make the checkout's packages importable without what their `__init__` imports."""
    for package in ("trainer", "data"):
        made = types.ModuleType(package)
        made.__path__ = [str(checkout / "src" / package)]
        sys.modules[package] = made


class _Clock(TrainerCallback):
    """When each optimizer step began and ended, in wall and processor seconds."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: list[tuple[float, float]] = []
        self._device, self._start = device, (0.0, 0.0)

    def _now(self) -> tuple[float, float]:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._start = self._now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        now = self._now()
        self.seconds.append((now[0] - self._start[0], now[1] - self._start[1]))


def open_unlearning(case: Case, checkout: Path, steps: Sequence[StepRows]) -> list[tuple[float, float]]:
    """(wall, processor) seconds of each step, with its own settings: four micro-batches of 8 per step."""
    _expose(checkout)
    from data.collators import DataCollatorForSupervisedDataset  # type: ignore[import-not-found]
    from data.unlearn import ForgetRetainDataset  # type: ignore[import-not-found]
    from trainer.unlearn.npo import NPO  # type: ignore[import-not-found]

    class Adapted(NPO):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            return super().compute_loss(model, inputs, return_outputs)

    model = copy.deepcopy(case.model).to(case.dtype)
    model.set_attn_implementation("sdpa")
    numbers = [i for step in steps for i in step.forget]
    forget = [_item(case.forget[i]) for i in numbers]
    clock = _Clock(case.device)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=case.micro,
            gradient_accumulation_steps=case.rows // case.micro,
            max_steps=len(steps),
            learning_rate=case.learning_rate,
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=CLIP,
            bf16=case.precision == "bf16",
            optim="adamw_torch",
            logging_steps=5,
            save_strategy="no",
            report_to=[],
            remove_unused_columns=False,
            disable_tqdm=True,
            use_cpu=case.device.type == "cpu",
        )
        trainer = Adapted(
            beta=BETA,
            alpha=RETAIN_WEIGHT,
            model=model,
            args=arguments,
            train_dataset=ForgetRetainDataset(forget, [_item(row) for row in case.retain]),
            data_collator=DataCollatorForSupervisedDataset(types.SimpleNamespace(pad_token_id=case.pad_id)),
            callbacks=[clock],
        )
        trainer.train()
    return clock.seconds


def _item(row: Encoded) -> dict[str, torch.Tensor]:
    ids = torch.tensor(row.input_ids)
    labels = ids.clone()
    labels[: row.answer_start] = IGNORED
    return {"input_ids": ids, "labels": labels}
