"""Losses of open-unlearning's trainers: their constructors, collator and `compute_loss`, without the Trainer beneath.

A step is what its Trainer makes of it: the mean over the micro-batches of all workers, each with its own mean.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch

from tests.goldens.exact_model import WIDTH
from tests.goldens.loss_rows import PARTITIONS, Micro, Row
from tests.goldens.measured import Case, Setting, Worker
from tests.goldens.peer_code import Checkout

PEER = "open-unlearning"
STEERING_SEED = 8
"""Its vector's length is a number of float32 almost exactly, so every processor rounds the sum of squares to it."""
KEPT = {"NLL": {"retain_loss_type": "NLL", "alpha": 1.7}, "KL": {"retain_loss_type": "KL", "alpha": 1.7}}
WEAK = {"retain_loss_type": "NLL", "alpha": 0.1}
"""For forget losses that are small: the retain term must not drown them."""
ALONE = {"alpha": 0.0}
RMU = {"steering_coeff": 4.0, "alpha": 1.5, "retain_loss_type": "EMBED_DIFF"}
DUAL = {"retain_loss_eps": 0.25, "dual_step_size": 2.0, "primal_dual": True, "dual_warmup_epochs": 0}

TRAINERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GradAscent", "GradAscent", {}),
    ("GradDiff NLL", "GradDiff", KEPT["NLL"]),
    ("GradDiff KL", "GradDiff", KEPT["KL"]),
    ("NPO", "NPO", {"beta": 0.3, **ALONE}),
    ("NPO NLL", "NPO", {"beta": 0.3, **KEPT["NLL"]}),
    ("NPO KL", "NPO", {"beta": 0.3, **KEPT["KL"]}),
    ("DPO", "DPO", {"beta": 0.3, **ALONE}),
    ("DPO NLL", "DPO", {"beta": 0.3, **KEPT["NLL"]}),
    ("DPO KL", "DPO", {"beta": 0.3, **KEPT["KL"]}),
    ("SimNPO", "SimNPO", {"beta": 0.7, "delta": 0.0, **WEAK}),
    ("SimNPO delta", "SimNPO", {"beta": 0.7, "delta": 0.4, **WEAK}),
    ("WGA", "WGA", {"beta": 0.8, **WEAK}),
    ("SatImp", "SatImp", {"beta1": 2.0, "beta2": 0.7, **WEAK}),
    ("UNDIAL", "UNDIAL", {"beta": 5.0, **ALONE}),
    ("UNDIAL NLL", "UNDIAL", {"beta": 5.0, **KEPT["NLL"]}),
    ("CEU", "CEU", {"ignore_first_n_answer_tokens": 1}),
    ("PDU", "PDU", {"alpha": 3.0}),
    ("PDU dual", "PDU", {"alpha": 3.0, **DUAL}),
    ("RMU", "RMU", {"module_regex": r"model\.layers\.0", **RMU}),
    ("RMU last layer", "RMU", {"module_regex": r"model\.layers\.1", **RMU}),
)
"""Name, class and its arguments; gamma is 1 and the retain term's weight alpha."""


def cases(checkout: Checkout) -> list[Case]:
    trainers = checkout.module("trainer", "src")
    collators = checkout.module("data.collators", "src")
    return [
        Case(
            name,
            PEER,
            f"src/trainer/unlearn: {trainer}.compute_loss",
            hyper,
            _starter(trainers, collators, trainer, hyper),
            tuple(PARTITIONS),
        )
        for name, trainer, hyper in TRAINERS
    ]


def _starter(
    trainers: ModuleType, collators: ModuleType, trainer: str, hyper: dict[str, Any]
) -> Callable[[Setting], Worker]:
    return lambda setting: _start(trainers, collators, getattr(trainers, trainer), hyper, setting)


def _start(trainers: ModuleType, collators: ModuleType, trainer: Any, hyper: dict[str, Any], at: Setting) -> Worker:
    """Their constructors copy the reference from the model, which is moved to its weights only then."""
    wanted = copy.deepcopy(at.model.state_dict())
    at.model.load_state_dict(at.reference.state_dict())
    with _without_the_library(trainers.FinetuneTrainer):
        made = trainer(model=at.model, **hyper)
    at.model.load_state_dict(wanted)
    collate = collators.DataCollatorForSupervisedDataset(SimpleNamespace(pad_token_id=at.tokens.pad))
    pairs = trainer.__name__ == "DPO"
    made.log = lambda values: None

    def afterwards() -> dict[str, Any]:
        found = {}
        if hyper.get("primal_dual"):
            found["retain_preference"] = made.preferences[1]
        if trainer.__name__ == "RMU":
            found["control_vector"] = made.control_vec.flatten().tolist()
        return found

    if trainer.__name__ == "RMU":
        _draw(made)
    return Worker(lambda micro: made.compute_loss(at.model, collate(_instances(micro, pairs))), afterwards)


def _draw(trainer: Any) -> None:
    """The random direction, from torch's global generator in the default type, which is not the one of this model."""
    torch.manual_seed(STEERING_SEED)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        trainer.get_control_vector(WIDTH)
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _without_the_library(base: Any) -> Iterator[None]:
    """The constructor beneath theirs keeps the model and does no more."""

    def keep(self: Any, model: Any) -> None:
        self.model = model
        self.is_deepspeed_enabled = False
        self.accelerator = SimpleNamespace(device="cpu", prepare_model=lambda model, evaluation_mode: model)
        self.callback_handler = SimpleNamespace(add_callback=lambda callback: None)

    with mock.patch.object(base, "__init__", keep):
        yield


def _instances(micro: Micro, pairs: bool) -> list[dict[str, Any]]:
    """As its data sets give them to the collator."""
    forget = [_example(row) for row in micro.forget]
    if pairs:
        others = map(_example, micro.alternates)
        forget = [{"original": one, "alternate": other} for one, other in zip(forget, others, strict=True)]
    retain = map(_example, micro.retain)
    return [{"forget": f, "retain": r} for f, r in zip(forget, retain, strict=True)]


def _example(row: Row) -> dict[str, Any]:
    ids = torch.tensor(row.ids)
    labels = ids.clone()
    labels[: row.answer] = -100
    return {"input_ids": ids, "labels": labels}
