"""Losses of the NPO paper's code: `compute_loss` of its trainer, on rows of 500 tokens that its own function makes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import Tensor

from tests.goldens.loss_rows import PARTITIONS, Micro, Tokenization
from tests.goldens.measured import Case, Setting, Worker
from tests.goldens.peer_code import Checkout
from tests.goldens.tofu_rows import Inputs, converted

PEER = "negative-preference-optimization"
WIDTH = 500
"""As its forget.py says."""
BETA = {"beta": 0.3}

LOSSES: dict[str, dict[str, Any]] = {
    "grad_ascent": {},
    "grad_diff": {},
    "KL": {},
    "idk": {},
    "dpo": BETA,
    "dpo_grad_diff": BETA,
    "dpo_KL": BETA,
    "kto_logsigmoid": BETA,
    "kto_logsigmoid_grad_diff": BETA,
    "npo": BETA,
    "npo_grad_diff": {**BETA, "npo_coeff": 1.0, "grad_diff_coeff": 1.7},
    "npo_KL": {**BETA, "npo_coeff": 1.0, "KL_coeff": 1.7},
}
"""`loss_type`, and the trainer's attributes; the other losses have no weights."""


def cases(checkout: Checkout) -> list[Case]:
    dataloader, data = checkout.module("dataloader", "TOFU"), checkout.module("data_module", "TOFU")
    return [
        Case(
            loss,
            PEER,
            "TOFU/dataloader.py: CustomTrainerForgetting.compute_loss",
            hyper,
            _starter(dataloader, data, loss, hyper),
            tuple(PARTITIONS),
        )
        for loss, hyper in LOSSES.items()
    ]


def _starter(dataloader: ModuleType, data: ModuleType, loss: str, hyper: dict[str, Any]) -> Callable[[Setting], Worker]:
    def start(at: Setting) -> Worker:
        compute = trainer_loss(dataloader.CustomTrainerForgetting, loss, at, hyper)
        return Worker(lambda micro: compute(inputs(data, loss, micro, at.tokens)))

    return start


def trainer_loss(
    trainer: Any, loss: str, at: Setting, attributes: dict[str, Any]
) -> Callable[[tuple[Inputs, ...]], Tensor]:
    """`compute_loss` of a trainer that descends from TOFU's, without the Trainer beneath."""
    made = trainer.__new__(trainer)
    vars(made).update({"loss_type": loss, "oracle_model": at.reference, "ref_policy": "fine_tuned", **attributes})

    def compute(given: tuple[Inputs, ...]) -> Tensor:
        found: Tensor = made.compute_loss(at.model, given)
        return found

    return compute


def inputs(data: ModuleType, loss: str, micro: Micro, tokens: Tokenization, width: int = WIDTH) -> tuple[Inputs, ...]:
    """What the code's data sets give for this loss."""

    def rows(which: Any) -> Inputs:
        return converted(data.convert_raw_data_to_model_format, which, tokens.end, width)

    if loss == "idk":
        return rows(micro.alternates), rows(micro.retain)
    if loss.startswith(("dpo", "kto")):
        return rows(micro.alternates), rows(micro.forget), rows(micro.retain)
    return rows(micro.forget), rows(micro.retain)
