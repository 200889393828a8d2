"""In float32, where softmax is exactly 0 or 1: bounded losses and their gradients stay finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainables.methods.cases import names
from trainables.batching.scores import Scores
from trainables.methods import METHODS, Forget
from trainables.methods.base import log_sigmoid
from trainables.methods.rmu import direction
from trainables.plugins.cases import defaults, with_statistic

INF = float("inf")
CERTAIN = [1e4, 0.0, 0.0, 0.0]  # p = 1 to the last bit
IMPOSSIBLE = [-1e4, 0.0, 1.0, 2.0]  # p = 0 to the last bit
PADDED = [1.0, 0.5, -INF, -INF]  # a vocabulary padded with tokens that are never said
ONLY = [0.0, -INF, -INF, -INF]  # nothing else can be said
NEVER = [-INF, 0.0, 1.0, 2.0]  # the answer itself cannot be said

FINITE = {
    "certain": [CERTAIN, CERTAIN],
    "impossible": [IMPOSSIBLE, IMPOSSIBLE],
    "padded": [PADDED, PADDED],
    "only": [ONLY, ONLY],
    "mixed": [CERTAIN, IMPOSSIBLE],
}


def of(logits: Tensor) -> Scores:
    """The answer is token 0, at every position."""
    log_probs = logits.log_softmax(-1)[..., 0]
    targets = torch.zeros(log_probs.shape, dtype=torch.long)
    return Scores(log_probs, torch.ones_like(targets, dtype=torch.bool), logits, targets, logits.nan_to_num(0, 1, -1))


def loss_and_gradient(name: str, model: list[list[float]], reference: list[list[float]]) -> tuple[Tensor, Tensor]:
    method = METHODS[name]
    tensors = [torch.tensor([each], requires_grad=True) for each in (model, model)]
    answer, other = (of(each) for each in tensors)
    frozen = of(torch.tensor([reference]))
    forget = Forget(answer, frozen, other, frozen, torch.ones(()))
    loss = method.forget_loss(forget, defaults(method))
    found: tuple[Tensor | None, ...] = torch.autograd.grad(loss.sum(), tensors, allow_unused=True)
    gradient = torch.cat([each.flatten() for each in found if each is not None])
    return loss, gradient


@pytest.mark.parametrize("reference", ["certain", "impossible"])
@pytest.mark.parametrize("model", FINITE)
@pytest.mark.parametrize("name", names)
def test_losses_and_gradients_are_finite(name: str, model: str, reference: str) -> None:
    if name == "undial" and model in ("padded", "only"):
        reference = model  # what the model can never say, the target model could not say either
    loss, gradient = loss_and_gradient(name, FINITE[model], FINITE[reference])
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "name", ["npo", "npo_rt", "kto", "simnpo", "wga", "satimp", "tnpo", "flat", "ce_u", "gru", "sam"]
)
def test_an_answer_of_probability_0_gets_no_gradient(name: str) -> None:
    """p = 0 exactly: ascent is -infinity there, what replaced it is finite and pulls no more."""
    loss, gradient = loss_and_gradient(name, [NEVER, NEVER], [CERTAIN, CERTAIN])
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    if name not in ("ce_u", "flat"):
        assert not gradient.any()


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("log_p", [-1e4, -300.0, 0.0])
def test_npo_weight_stays_between_0_and_2_far_from_the_reference(beta: float, log_p: float) -> None:
    token_log_probs = torch.tensor([[log_p]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    forget = Forget(Scores(token_log_probs, mask), Scores(torch.tensor([[-1000.0]]), mask))
    (weight,) = torch.autograd.grad(METHODS["npo"].forget_loss(forget, {"beta": beta}).sum(), token_log_probs)
    assert 0 <= weight.item() <= 2


@pytest.mark.parametrize("name", ["undial", "ce_u", "me"])
def test_the_pull_on_a_certain_token_is_the_full_difference(name: str) -> None:
    """Ascent's gradient is 0 where p = 1; these still push that token down with all they have."""
    _, gradient = loss_and_gradient(name, [CERTAIN, CERTAIN], [[1.0, 0.0, 0.0, 0.0]] * 2)
    assert gradient.max() > 0.5
    assert not loss_and_gradient("ga", [CERTAIN, CERTAIN], [CERTAIN, CERTAIN])[1].any()


def test_satimp_keeps_the_digits_of_one_minus_p() -> None:
    """At p = 1 - 1e-9 float32 has p = 1, but not 1 - p = 0."""
    model = Scores(torch.tensor([[-1e-9]]), torch.ones(1, 1, dtype=torch.bool))
    value = METHODS["satimp"].forget_loss(Forget(model), {"beta1": 1.0, "beta2": 1.0}).item()
    assert value == pytest.approx(-1e-18, rel=1e-5, abs=0)


def test_satimp_survives_a_log_prob_that_rounding_made_positive() -> None:
    model = Scores(torch.tensor([[1e-7]]), torch.ones(1, 1, dtype=torch.bool))
    assert METHODS["satimp"].forget_loss(Forget(model), {"beta1": 1.0, "beta2": 0.5}).item() == 0


def test_a_model_of_nans_gives_nan() -> None:
    """A broken model must not look forgotten."""
    for name in names:
        method = METHODS[name]
        broken = of(torch.full((1, 2, 4), float("nan")))
        hidden = Scores(
            broken.token_log_probs, broken.mask, broken.logits, broken.targets, broken.token_log_probs[..., None]
        )
        fine = of(torch.tensor([[CERTAIN, IMPOSSIBLE]]))
        forget = with_statistic(method, Forget(hidden, fine, broken, fine), defaults(method))
        loss = method.forget_loss(forget, defaults(method))
        assert loss.isnan().all(), name


@given(st.floats(-700, 700))
def test_log_sigmoid(x: float) -> None:
    expected = -np.logaddexp(0.0, -x)
    assert log_sigmoid(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(st.integers(1, 300), st.integers(0, 2**31 - 1))
def test_the_random_direction_has_length_1_and_depends_on_the_seed_alone(width: int, seed: int) -> None:
    found = direction(width, seed)
    assert found.shape == (width,)
    assert found.norm().item() == pytest.approx(1.0, rel=1e-5)
    direction.cache_clear()
    torch.rand(3)  # other draws do not matter
    assert torch.equal(direction(width, seed), found)
    if width > 1:
        assert not torch.equal(direction(width, seed + 1), found)
