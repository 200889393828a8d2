"""A step's losses and gradients: against the published code bases' reductions written anew, and against plain sums."""

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
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from trainables.code_bases import NPO_WIDTH
from trainables.config import Compat, Hyperparameters
from trainables.feed import Feed, StepData
from trainables.gradients import gradients_of, products, trainable
from trainables.group import Group
from trainables.methods import METHODS
from trainables.methods.method import Products
from trainables.reference import compute_reference
from trainables.schedule import StepRows
from trainables.scores import Batch, Encoded
from trainables.step import Stepper
from trainables.terms import Seen

PAD = 0
BETA, WEIGHT = 0.3, 1.7
MICRO = 2
STEP = StepRows(forget=(0, 2, 1, 3, 4), retain=(1, 0, 3, 2, 0))


def model(seed: int) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.4,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).train(False)


def encoded(lengths: list[int], seed: int) -> list[Encoded]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Encoded(tuple(torch.randint(1, 40, (n,), generator=generator).tolist()), answer_start=n // 2) for n in lengths
    ]


TRAINED, FROZEN = model(1), model(2)
FORGET, RETAIN = encoded([9, 6, 11, 7, 8], 3), encoded([12, 5, 10, 6], 4)
ALTERNATIVES = [[row] for row in encoded([5, 9, 4, 8, 6], 5)]


def data() -> StepData:
    return StepData(
        forget=FORGET,
        retain=RETAIN,
        pad_id=PAD,
        alternatives=ALTERNATIVES,
        retain_alternatives=[[row] for row in encoded([5, 9, 4, 8], 6)],
        reference=compute_reference(FROZEN, FORGET, PAD, 4096, "cpu"),
        alternative_reference=compute_reference(FROZEN, [row for (row,) in ALTERNATIVES], PAD, 4096, "cpu"),
        frozen=FROZEN,
    )


def stepper(name: str, compat: Compat = "none", micro: int = MICRO, **values: float) -> Stepper:
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
    feed = Feed(method, needed, Group(0, 1, torch.device("cpu")), micro, compat)
    engine: Any = SimpleNamespace(model=trained, deepspeed=trained, step=lambda losses, rate, count: None)
    return Stepper(engine, hyper, feed)


def run(made: Stepper) -> tuple[float, list[Tensor], list[Seen]]:
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


# ---- the published code bases: every micro-batch as a padded batch of its own, means within, mean over micro-batches


def padded(rows: list[Encoded], width: int) -> tuple[Tensor, Tensor, Tensor]:
    ids, labels = torch.full((len(rows), width), PAD), torch.full((len(rows), width), -100)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row.input_ids)
        ids[i, :n], mask[i, :n] = torch.tensor(row.input_ids), 1
        labels[i, row.answer_start : n] = ids[i, row.answer_start : n]
    return ids, labels, mask


def published(code: Compat, rows: list[Encoded], which: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (all positions), labels, and -log p of each row's answer."""
    width = NPO_WIDTH if code == "npo" else max(len(row.input_ids) for row in rows)
    ids, labels, mask = padded(rows, width)
    with torch.no_grad():
        logits = which(input_ids=ids, attention_mask=mask).logits
    each = functional.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none").sum(-1)
    return logits, labels, each


def ce(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def published_loss(name: str, code: Compat) -> float:
    total, parts = 0.0, [range(0, 2), range(2, 4), range(4, 5)]
    for part in parts:
        f = [FORGET[STEP.forget[i]] for i in part]
        r = [RETAIN[STEP.retain[i]] for i in part]
        a = [ALTERNATIVES[STEP.forget[i]][0] for i in part]
        logits_f, labels_f, nll_f = published(code, f, TRAINED)
        logits_r, labels_r, _ = published(code, r, TRAINED)
        ratio = nll_f - published(code, f, FROZEN)[2]
        ref_r = published(code, r, FROZEN)[0]
        kl = functional.kl_div(
            logits_r.log_softmax(-1).flatten(0, 1),
            ref_r.log_softmax(-1).flatten(0, 1),
            reduction="batchmean",
            log_target=True,
        )
        npo = -2 / BETA * functional.logsigmoid(BETA * ratio).mean()
        nll_a = published(code, a, TRAINED)[2]
        both = nll_a - published(code, a, FROZEN)[2]
        dpo = -2 / BETA * functional.logsigmoid(BETA * (ratio - both)).mean()
        losses = {
            "ga_rt": -ce(logits_f, labels_f) + WEIGHT * ce(logits_r, labels_r),
            "ga_kl": -ce(logits_f, labels_f) + WEIGHT * kl,
            "npo_rt": npo + WEIGHT * ce(logits_r, labels_r),
            "npo_kl": npo + WEIGHT * kl,
            "dpo_kl": dpo + WEIGHT * kl,
        }
        total += float(losses[name]) / len(parts)
    return total


@pytest.mark.parametrize("code", ["npo", "open_unlearning"])
@pytest.mark.parametrize("name", ["ga_rt", "ga_kl", "npo_rt", "npo_kl", "dpo_kl"])
def test_compat_gives_the_published_reductions(name: str, code: Compat) -> None:
    loss, _, _ = run(stepper(name, code))
    assert loss == pytest.approx(published_loss(name, code), rel=2e-5)
    ours, _, _ = run(stepper(name))
    assert abs(ours - loss) > 1e-4  # they do differ


def test_compat_npo_takes_one_mean_over_refusals_and_retain_rows() -> None:
    total, parts = 0.0, [range(0, 2), range(2, 4), range(4, 5)]
    for part in parts:
        rows = [ALTERNATIVES[STEP.forget[i]][0] for i in part] + [RETAIN[STEP.retain[i]] for i in part]
        logits, labels, _ = published("npo", rows, TRAINED)
        total += float(ce(logits, labels)) / len(parts)
    loss, _, _ = run(stepper("idk_rt", "npo", retain_weight=1.0))
    assert loss == pytest.approx(total, rel=2e-5)


def test_compat_open_unlearning_distils_over_prompt_and_padding_too() -> None:
    total, parts = 0.0, [range(0, 2), range(2, 4), range(4, 5)]
    for part in parts:
        f = [FORGET[STEP.forget[i]] for i in part]
        logits, labels, _ = published("open_unlearning", f, TRAINED)
        teacher, _, _ = published("open_unlearning", f, FROZEN)
        lowered = functional.one_hot(labels[:, 1:].clamp(min=0), 40) * BETA
        soft = (teacher[:, :-1] - lowered).softmax(-1)
        total += float(-(soft * logits[:, :-1].log_softmax(-1)).sum(-1).mean()) / len(parts)
    loss, _, _ = run(stepper("undial", "open_unlearning"))
    assert loss == pytest.approx(total, rel=2e-5)


def test_open_unlearning_hides_tokens_that_equal_the_padding() -> None:
    made = stepper("ga", "open_unlearning")
    rows = made.feed.rows(made.feed.parts(STEP, 1)[0])
    rows.forget[0] = Encoded((5, PAD, 6, 7), 2)
    batch, of_others = made.feed.batch(rows), stepper("ga").feed.batch(rows)
    assert isinstance(batch, Batch) and isinstance(of_others, Batch)
    assert batch.attention_mask is not None
    assert batch.attention_mask[0].tolist()[:4] == [1, 0, 1, 1]
    assert of_others.attention_mask is None


# ---- gradient-level methods: the yielded losses have the combined gradient


def separate(name: str) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of forget loss and retain term over the whole step, by themselves."""
    made = stepper(name, micro=5)
    (part,) = made.feed.parts(STEP, 1)
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


def test_ngdiffs_gradients_have_length_one() -> None:
    forget, retain = separate("ngdiff")
    _, found, _ = run(stepper("ngdiff"))
    inner = products(forget, retain)
    cosine = inner.both / math.sqrt(inner.forget * inner.retain)
    assert products(found, found).forget == pytest.approx(2 + 2 * cosine, rel=1e-3)


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
    (part,) = there.feed.parts(STEP, 1)
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


def test_every_forget_row_is_dealt_out_whether_there_are_retain_rows_or_not() -> None:
    for rows in (STEP, StepRows(STEP.forget, ())):
        parts = stepper("ga").feed.parts(rows, epoch=1)
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
def test_micro_batches_are_counted_in_tokens_but_where_distributions_are_read(name: str, parts: int) -> None:
    feed = dataclasses.replace(stepper(name).feed, micro_batch_size=None, micro_batch_tokens=1)
    assert len(feed.parts(STEP, 1)) == parts
