"""What the papers say of their losses: values and gradients at the reference, limits, bounds, monotonicity."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainables.methods.cases import Case, case, leaves, loss, scores, seeds
from tests.trainables.methods.equations import log_p, rows
from trainables.methods import Retain
from trainables.methods.retain import RETAIN_TERMS

LN2 = math.log(2)
betas = st.floats(0.01, 5.0)


def at_reference(seed: int) -> Case:
    """A model that has not moved yet."""
    data = case(seed)
    return replace(data, reference=data.model, alternative_reference=data.alternative, hidden_reference=data.hidden)


def ascent(data: Case, tensors: dict[str, Tensor], weight: Tensor | None = None) -> Tensor:
    """The gradient of the sum over rows of (weighted) log p(y|x)."""
    per_token = scores(tensors["model"], data.answers).token_log_probs
    weighted = per_token if weight is None else per_token * weight
    return torch.autograd.grad(weighted.sum(), tensors["model"])[0]


def gradient(value: Tensor, tensors: dict[str, Tensor], leaf: str = "model") -> Tensor:
    return torch.autograd.grad(value.sum(), tensors[leaf], retain_graph=True)[0]


# ---- at the reference


@given(seeds, betas)
@pytest.mark.parametrize(("name", "offset"), [("npo", 0.0), ("dpo", 0.0), ("altpo", 0.0), ("kto", 1.0)])
def test_value_at_the_reference(name: str, offset: float, seed: int, beta: float) -> None:
    """(2 / beta) ln 2; KTO one more."""
    data = at_reference(seed)
    value = loss(name, data, leaves(data), beta=beta)
    torch.testing.assert_close(value, torch.full_like(value, offset + 2 / beta * LN2), rtol=1e-12, atol=0)


def test_value_at_the_reference_with_the_papers_beta() -> None:
    data = at_reference(0)
    for name, expected in (("npo", 13.8629), ("dpo", 13.8629), ("kto", 14.8629)):
        assert loss(name, data, leaves(data), beta=0.1)[0].item() == pytest.approx(expected, abs=1e-4)


@given(seeds, betas)
def test_token_npo_at_the_reference_is_ln2_a_token(seed: int, beta: float) -> None:
    data = at_reference(seed)
    expected = torch.from_numpy(data.answers.mask.sum(-1) * 2 / beta * LN2)
    torch.testing.assert_close(loss("tnpo", data, leaves(data), beta=beta), expected, rtol=1e-12, atol=0)


@given(seeds, betas)
@pytest.mark.parametrize("name", ["npo", "dpo", "kto", "tnpo"])
def test_gradient_at_the_reference_is_ascent_on_the_sum_of_log_probs(name: str, seed: int, beta: float) -> None:
    """With weight 1 on every row: W = 2 p^b / (p^b + p_ref^b) = 1, whatever beta."""
    data = at_reference(seed)
    tensors = leaves(data)
    found = gradient(loss(name, data, tensors, beta=beta), tensors)
    torch.testing.assert_close(found, ascent(data, tensors), rtol=1e-10, atol=1e-13)


@given(seeds, betas)
def test_dpo_at_the_reference_pulls_the_alternative_as_hard_as_it_pushes_the_answer(seed: int, beta: float) -> None:
    data = at_reference(seed)
    tensors = leaves(data)
    found = gradient(loss("dpo", data, tensors, beta=beta), tensors, "alternative")
    descent = -scores(tensors["alternative"], data.others).sequence.sum()
    torch.testing.assert_close(found, gradient(descent, tensors, "alternative"), rtol=1e-10, atol=1e-13)


@given(seeds, st.floats(1, 30))
def test_undial_gradient_is_the_difference_to_the_adjusted_teacher(seed: int, beta: float) -> None:
    data = case(seed)
    tensors = leaves(data)
    found = gradient(loss("undial", data, tensors, beta=beta), tensors).numpy()
    teacher = data.reference.copy()
    np.put_along_axis(
        teacher,
        data.answers.targets[..., None],
        np.take_along_axis(teacher, data.answers.targets[..., None], -1) - beta,
        -1,
    )
    difference = np.exp(data.model) / np.exp(data.model).sum(-1, keepdims=True)
    difference -= np.exp(teacher) / np.exp(teacher).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, difference * data.answers.mask[..., None], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("term", ["kl", "hidden"])
@given(seeds)
def test_what_holds_on_to_the_reference_is_zero_there(term: str, seed: int) -> None:
    """And positive elsewhere; the gradient is zero at the reference too."""
    data = at_reference(seed)
    tensors = leaves(data)
    here = scores(tensors["model"], data.answers, tensors["hidden"])
    value = RETAIN_TERMS[term].per_row(Retain(here, here), {})
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    found = gradient(value, tensors, "model" if term == "kl" else "hidden")
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)
    moved = case(seed + 1)
    there = scores(leaves(moved)["model"], data.answers, leaves(moved)["hidden"])
    assert (RETAIN_TERMS[term].per_row(Retain(there, here), {}) > 0).all()


# ---- the weights that the papers derive


@given(seeds, betas)
def test_npo_gradient_is_ascent_weighted_by_w(seed: int, beta: float) -> None:
    data = case(seed)
    tensors = leaves(data)
    p = np.exp(rows(lambda i: log_p(data.model, data.answers, i)))
    p_ref = np.exp(rows(lambda i: log_p(data.reference, data.answers, i)))
    weight = torch.from_numpy(2 * p**beta / (p**beta + p_ref**beta))[:, None]
    found = gradient(loss("npo", data, tensors, beta=beta), tensors)
    torch.testing.assert_close(found, ascent(data, tensors, weight), rtol=1e-9, atol=1e-12)


@given(seeds, betas)
def test_token_npo_gradient_is_ascent_weighted_token_by_token(seed: int, beta: float) -> None:
    data = case(seed)
    tensors = leaves(data)
    p, p_ref = (scores(tensors[one], data.answers).token_log_probs.detach().exp() for one in ("model", "reference"))
    weight = 2 * p**beta / (p**beta + p_ref**beta)
    found = gradient(loss("tnpo", data, tensors, beta=beta), tensors)
    torch.testing.assert_close(found, ascent(data, tensors, weight), rtol=1e-9, atol=1e-12)


@given(seeds)
def test_ce_u_gradient_is_the_difference_to_the_model_without_the_token(seed: int) -> None:
    """p - q: of length at most sqrt(2), however certain or ignorant the model is."""
    data = case(seed)
    tensors = leaves(data)
    found = gradient(loss("ce_u", data, tensors), tensors)
    p = tensors["model"].detach().softmax(-1)
    target = torch.from_numpy(data.answers.targets)[..., None]
    q = p.scatter(-1, target, 0.0)
    q = q / q.sum(-1, keepdim=True)
    counted = data.answers.mask & (data.answers.mask.cumsum(-1) > 1)
    torch.testing.assert_close(found, (p - q) * torch.from_numpy(counted)[..., None], rtol=1e-9, atol=1e-12)


# ---- limits


@given(seeds)
@pytest.mark.parametrize("name", ["npo", "dpo", "kto"])
def test_preference_losses_tend_to_ascent_as_beta_vanishes(name: str, seed: int) -> None:
    """L - (2 / beta) ln 2 -> log-ratio of the answer, less that of the alternative for DPO."""
    data = case(seed)
    if name == "kto":
        data = replace(data, alternative_reference=data.alternative)
    tensors, beta = leaves(data), 1e-6
    value = loss(name, data, tensors, beta=beta)
    limit = scores(tensors["model"], data.answers).sequence - scores(tensors["reference"], data.answers).sequence
    if name == "dpo":
        limit = limit - scores(tensors["alternative"], data.others).sequence
        limit = limit + scores(tensors["alternative_reference"], data.others).sequence
    offset = 2 / beta * LN2 + (1.0 if name == "kto" else 0.0)
    # The next term of the expansion is beta * ratio^2 / 4; 2 / beta costs six digits.
    torch.testing.assert_close(value - offset, limit, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(gradient(value, tensors), ascent(data, tensors), rtol=1e-3, atol=1e-3)


@given(seeds)
def test_token_npo_tends_to_ascent_as_beta_vanishes(seed: int) -> None:
    data = case(seed)
    tensors = leaves(data)
    found = gradient(loss("tnpo", data, tensors, beta=1e-6), tensors)
    torch.testing.assert_close(found, ascent(data, tensors), rtol=1e-4, atol=1e-4)


@given(seeds)
def test_simnpo_tends_to_ascent_on_the_mean_log_prob_as_beta_vanishes(seed: int) -> None:
    data = case(seed)
    tensors = leaves(data)
    found = gradient(loss("simnpo", data, tensors, beta=1e-7), tensors)
    per_row = torch.from_numpy(1 / data.answers.mask.sum(-1))[:, None]
    torch.testing.assert_close(found, ascent(data, tensors, per_row), rtol=1e-5, atol=1e-6)


@given(seeds, st.floats(0.1, 10))
def test_weighted_ascent_is_ascent_without_its_weights(seed: int, beta: float) -> None:
    """WGA with beta -> 0, SatImp with both exponents 0; SatImp with beta2 = 0 is WGA."""
    data = case(seed)
    tensors = leaves(data)
    plain = loss("ga", data, tensors)
    torch.testing.assert_close(loss("wga", data, tensors, beta=1e-12), plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(loss("satimp", data, tensors, beta1=0.0, beta2=0.0), plain, rtol=1e-12, atol=1e-12)
    saturated = loss("satimp", data, tensors, beta1=beta, beta2=0.0)
    torch.testing.assert_close(saturated, loss("wga", data, tensors, beta=beta), rtol=1e-9, atol=1e-12)


@given(seeds)
def test_wga_with_beta_1_is_ascent_on_the_probability(seed: int) -> None:
    data = case(seed)
    tensors = leaves(data)
    found = gradient(loss("wga", data, tensors, beta=1.0), tensors)
    probability = scores(tensors["model"], data.answers)
    expected = gradient((probability.token_log_probs.exp() * probability.mask).sum(), tensors)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@given(seeds)
def test_undial_without_adjustment_leaves_the_reference_alone(seed: int) -> None:
    data = at_reference(seed)
    tensors = leaves(data)
    found = gradient(loss("undial", data, tensors, beta=0.0), tensors)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)


@given(seeds, st.floats(-5, 5))
def test_flat_logits_are_the_minimum_of_what_flattens(seed: int, level: float) -> None:
    """Maximum entropy and logit margin: >= 0, and 0 with zero gradient where all tokens are equally likely."""
    data = case(seed)
    even = replace(data, model=np.full_like(data.model, level))
    for name in ("me", "pdu"):
        assert (loss(name, data, leaves(data)) > 0).all()
        tensors = leaves(even)
        value = loss(name, even, tensors)
        torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-10)
        found = gradient(value, tensors)
        torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-10)


@given(seeds, st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(seed: int, shift: float) -> None:
    data = case(seed)
    moved = replace(data, model=data.model + shift, reference=data.reference - shift)
    for name in ("ga", "npo", "undial", "ce_u", "me", "pdu", "tnpo", "flat", "wga"):
        torch.testing.assert_close(
            loss(name, data, leaves(data)), loss(name, moved, leaves(moved)), rtol=1e-8, atol=1e-9
        )
