"""Where losses rise and fall, what bounds them, and what belongs to one method only."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.methods.cases import case, defaults, leaves, loss, seeds
from trainables.methods import METHODS, Forget
from trainables.methods.method import log_sigmoid
from trainables.methods.rmu import direction
from trainables.scores import Scores

betas = st.floats(0.01, 5.0)


def one(log_p_token: float) -> Scores:
    return Scores(torch.tensor([[log_p_token]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool))


def of_one(name: str, answer: float, reference: float, alternative: float = -1.0, **values: float) -> float:
    method = METHODS[name]
    every = {**defaults(method), **values}
    statistic = torch.tensor(0.3, dtype=torch.float64)
    forget = Forget(one(answer), one(reference), one(alternative), one(-2.0), statistic)
    return method.forget_loss(forget, every).item()


log_ps = st.floats(-200, 0)


@pytest.mark.parametrize("name", ["ga", "npo", "dpo", "altpo", "kto", "simnpo", "tnpo", "flat", "sam", "gru"])
@given(log_ps, log_ps, log_ps)
def test_a_loss_rises_with_the_probability_of_what_must_go(name: str, reference: float, a: float, b: float) -> None:
    low, high = (of_one(name, x, reference) for x in sorted((a, b)))
    assert low <= high


@pytest.mark.parametrize("name", ["idk_rt", "idk_ap", "dpo", "altpo", "flat"])
@given(log_ps, log_ps, log_ps)
def test_a_loss_falls_with_the_probability_of_the_alternative(name: str, answer: float, a: float, b: float) -> None:
    low, high = (of_one(name, answer, -3.0, x) for x in sorted((a, b)))
    assert low >= high


@given(st.floats(-20, -1e-3), st.floats(-20, -1e-3))
def test_ce_u_rises_with_the_probability_of_the_token(a: float, b: float) -> None:
    """Beyond the entropy of the others, which stays, it is -log(1 - p)."""

    def of(log_p_token: float) -> float:
        p = math.exp(log_p_token)
        logits = torch.tensor([[[0.0, 0.0, 0.0], [log_p_token, *(2 * [math.log((1 - p) / 2)])]]], dtype=torch.float64)
        mask = torch.ones(1, 2, dtype=torch.bool)
        model = Scores(torch.zeros(1, 2), mask, logits, torch.zeros(1, 2, dtype=torch.long))
        return METHODS["ce_u"].forget_loss(Forget(model), {}).item()

    assert of(a) == pytest.approx(math.log(2) - math.log1p(-math.exp(a)), rel=1e-9)
    low, high = (of(x) for x in sorted((a, b)))
    assert low <= high


@given(seeds, betas)
def test_bounds(seed: int, beta: float) -> None:
    data = case(seed, scale=8.0)
    tensors = leaves(data)
    for name in ("npo", "dpo", "simnpo", "tnpo"):
        assert (loss(name, data, tensors, beta=beta) >= 0).all()
    assert (loss("kto", data, tensors, beta=beta) >= 1).all()
    assert (loss("flat", data, tensors).abs() <= math.tanh(1) / 2).all()
    for name in ("wga", "satimp"):
        assert (loss(name, data, tensors) <= 0).all()
        # x^b |ln x| never exceeds 1 / (e b): unlearned tokens stop mattering, unlike ascent's.
    lengths = torch.from_numpy(data.answers.mask.sum(-1))
    assert (loss("wga", data, tensors, beta=beta) >= -lengths / (math.e * beta) - 1e-9).all()


@given(st.floats(-700, 700))
def test_log_sigmoid(x: float) -> None:
    expected = -np.logaddexp(0.0, -x)
    assert log_sigmoid(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12, abs=1e-300)


# ---- what belongs to one method only


@given(st.integers(1, 300), st.integers(0, 2**31 - 1))
def test_the_random_direction_has_length_1_and_is_the_seeds_alone(width: int, seed: int) -> None:
    found = direction(width, seed)
    assert found.shape == (width,)
    assert found.norm().item() == pytest.approx(1.0, rel=1e-5)
    direction.cache_clear()
    torch.rand(3)  # other draws do not matter
    assert torch.equal(direction(width, seed), found)
    if width > 1:
        assert not torch.equal(direction(width, seed + 1), found)


def test_misdirection_is_zero_at_its_target() -> None:
    target = 4.0 * direction(6, 3).expand(1, 2, 6)
    model = Scores(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), hidden=target)
    assert METHODS["rmu"].forget_loss(Forget(model, seed=3), {"steering": 4.0}).item() == 0
    assert METHODS["rmu"].forget_loss(Forget(model, seed=4), {"steering": 4.0}).item() > 0


def test_simnpo_does_not_care_for_the_length_of_an_answer() -> None:
    def of(length: int) -> float:
        model = Scores(torch.full((1, length), -0.7), torch.ones(1, length, dtype=torch.bool))
        return METHODS["simnpo"].forget_loss(Forget(model), {"beta": 2.5, "margin": 0.1}).item()

    assert of(1) == pytest.approx(of(9), rel=1e-6)


def test_an_answer_of_one_token_says_nothing_to_ce_u() -> None:
    data = case(0)
    mask = np.zeros_like(data.answers.mask)
    mask[:, 2] = True
    single = replace(data, answers=replace(data.answers, mask=mask))
    assert not loss("ce_u", single, leaves(single)).any()
