"""A step's losses and gradients do not depend on micro-batches, and those of methods on gradients are as declared.

That they are those of the published code is in `test_golden_losses`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tiny
from trainables.batching.schedule import StepRows
from trainables.config import Hyperparameters
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.inputs.reference_log_probs import compute_reference
from trainables.methods import METHODS
from trainables.methods.base import Products
from trainables.runtime.ranks import Group
from trainables.training.gradients import gradients_of, products, trainable
from trainables.training.step import Stepper
from trainables.training.terms import MicroBatchResult

PAD = 0
BETA, WEIGHT = 0.3, 1.7
MICRO = 2
STEP = StepRows(forget=(0, 2, 1, 3, 4), retain=(1, 0, 3, 2, 0))


TRAINED, FROZEN = (tiny.llama(seed, tie_word_embeddings=True).train(False) for seed in (1, 2))
FORGET, RETAIN = tiny.rows([9, 6, 11, 7, 8], 3), tiny.rows([12, 5, 10, 6], 4)
ALTERNATIVES = [[row] for row in tiny.rows([5, 9, 4, 8, 6], 5)]


def data() -> StepData:
    return StepData(
        forget=FORGET,
        retain=RETAIN,
        pad_id=PAD,
        alternatives=ALTERNATIVES,
        retain_alternatives=[[row] for row in tiny.rows([5, 9, 4, 8], 6)],
        reference=compute_reference(FROZEN, FORGET, PAD, 4096, "cpu"),
        alternative_reference=compute_reference(FROZEN, [row for (row,) in ALTERNATIVES], PAD, 4096, "cpu"),
        frozen=FROZEN,
    )


def stepper(name: str, micro: int = MICRO, **values: float) -> Stepper:
    """Over a plain model: the engine's own part (ZeRO, workers) is tested with every method elsewhere."""
    trained = copy.deepcopy(TRAINED)
    hyper = Hyperparameters.model_validate(
        {"method": name, "forget_fraction": 0.1, "learning_rate": 1e-5, "beta": BETA, "retain_weight": WEIGHT} | values
    )
    method, all_data = METHODS[name], data()
    needed = dataclasses.replace(
        all_data,
        reference=all_data.reference if method.needs_reference_table else None,
        alternatives=all_data.alternatives if method.alternative != "none" else (),
        retain_alternatives=all_data.retain_alternatives if method.retain == "preference" else (),
    )
    batcher = MicroBatcher(method, needed, Group(0, 1, torch.device("cpu")), micro)
    engine: Any = SimpleNamespace(
        model=trained, deepspeed=trained, prove=lambda batch: None, step=lambda losses, rate, count: None
    )
    return Stepper(engine, hyper, batcher)


def run(made: Stepper) -> tuple[float, list[Tensor], list[MicroBatchResult]]:
    """Loss and gradient of the whole step, as the engine would add them up."""
    found: list[Tensor] = [torch.zeros_like(p) for p in trainable(made.engine.model)]
    counted: list[int] = []

    def take(losses: Any, learning_rate: float, count: int) -> None:
        counted.append(count)
        for number, loss in enumerate(losses, start=1):
            for total, part in zip(found, gradients_of(loss, trainable(made.engine.model)), strict=True):
                total.add_(part)
            counted[0] -= 1
            assert number <= count

    made.engine.step = take  # type: ignore[method-assign]
    rows = STEP if made.method.retain != "none" else StepRows(STEP.forget, ())
    seen = made.run(rows, epoch=1, learning_rate=1e-3)
    assert counted == [0]  # as many losses as were announced, or the engine would step too early
    return float(sum(part.loss for part in seen)), found, seen


# ---- gradient-level methods: the yielded losses have the combined gradient


def separate(name: str) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of forget loss and retain term over the whole step, by themselves."""
    made = stepper(name, micro=5)
    (part,) = made.batcher.parts(STEP, 1)
    terms = partial(made.terms, part, step=STEP, statistics={})
    parameters = trainable(made.engine.model)
    retain = terms(forget=False).retain
    assert retain is not None
    return gradients_of(terms(retain=False).forget, parameters), gradients_of(retain, parameters)


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("micro", [1, 2, 5])
@pytest.mark.parametrize("name", ["ngdiff", "gru"])
def test_two_gradients_are_combined_over_the_whole_batch(name: str, micro: int) -> None:
    forget, retain = separate(name)
    combine = METHODS[name].combine
    assert combine is not None
    a, b = combine(products(forget, retain), {"beta": BETA})
    _, found, seen = run(stepper(name, micro=micro))
    close(found, [a * f + b * r for f, r in zip(forget, retain, strict=True)])
    assert len(seen) == math.ceil(5 / micro)


@pytest.mark.parametrize("micro", [1, 2, 5])
def test_the_forget_gradient_is_taken_at_the_worst_nearby_weights(micro: int) -> None:
    radius = 0.5
    forget, retain = separate("sam")
    made = stepper("sam", micro=micro, radius=radius)
    before = [p.detach().clone() for p in trainable(made.engine.model)]
    _, found, _ = run(made)
    assert all(torch.equal(one, other) for one, other in zip(before, trainable(made.engine.model), strict=True))
    there = stepper("sam", micro=5)
    length = math.sqrt(products(forget, forget).forget)
    with torch.no_grad():
        for parameter, gradient in zip(trainable(there.engine.model), forget, strict=True):
            parameter.add_(radius * gradient / length)
    (part,) = there.batcher.parts(STEP, 1)
    worst = there.terms(part, retain=False, step=STEP, statistics={}).forget
    nearby = gradients_of(worst, trainable(there.engine.model))
    close(found, [f + WEIGHT * r for f, r in zip(nearby, retain, strict=True)])
    assert any(not torch.allclose(one, other, rtol=0.05) for one, other in zip(nearby, forget, strict=True))


def test_products_are_inner_products() -> None:
    first, second = (
        [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])],
        [torch.tensor([4.0, 0.0]), torch.tensor([[-1.0]])],
    )
    assert products(first, second) == Products(14.0, 17.0, 1.0)


# ---- values that belong to the whole batch, and weights that move


@pytest.mark.parametrize("name", sorted(METHODS))
def test_loss_and_gradient_do_not_depend_on_micro_batches(name: str) -> None:
    whole, gradient, _ = run(stepper(name, micro=5))
    for micro in (1, 2):
        loss, found, _ = run(stepper(name, micro=micro))
        assert loss == pytest.approx(whole, rel=1e-4, abs=1e-6)
        close(found, gradient)


def test_every_forget_row_is_used_with_and_without_retain_rows() -> None:
    for rows in (STEP, StepRows(STEP.forget, ())):
        parts = stepper("ga").batcher.parts(rows, epoch=1)
        assert [i for part in parts for i in part.forget] == list(STEP.forget)
        assert [i for part in parts for i in part.retain] == list(rows.retain)


def test_the_multiplier_follows_the_retain_loss_of_the_whole_step() -> None:
    made = stepper("pdu", epsilon=0.25, dual_step=2.0)
    _, _, seen = run(made)
    retain = sum(float(part.terms.retain) for part in seen if part.terms.retain is not None)
    assert made.weight == pytest.approx(WEIGHT + 2.0 * (retain - 0.25), rel=1e-6)


def test_other_methods_keep_their_retain_weight() -> None:
    made = stepper("npo_rt")
    run(made)
    assert made.weight == WEIGHT


@pytest.mark.parametrize(("name", "parts"), [("npo_rt", 5), ("npo_kl", 1), ("undial", 1)])
def test_micro_batches_are_limited_by_tokens_unless_distributions_are_read(name: str, parts: int) -> None:
    batcher = dataclasses.replace(stepper(name).batcher, micro_batch_size=None, micro_batch_tokens=1)
    assert len(batcher.parts(STEP, 1)) == parts
