"""Numbers worked out by hand from the equations of single methods."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainables.batching.scores import Scores
from trainables.methods import METHODS, Forget
from trainables.plugins.cases import with_statistic

VOCABULARY = 32_000


def of_logits(logits: Tensor) -> Scores:
    """One row of one answer token, which is token 0."""
    log_p = logits.log_softmax(-1)[..., 0]
    return Scores(log_p, torch.ones_like(log_p, dtype=torch.bool), logits, torch.zeros_like(log_p, dtype=torch.long))


def of_tokens(*rows: list[float]) -> Scores:
    """Rows of as many answer tokens each, by their log-probabilities."""
    log_p = torch.tensor(rows, dtype=torch.float64)
    return Scores(log_p, torch.ones_like(log_p, dtype=torch.bool))


@pytest.mark.parametrize(
    ("p", "of_em", "of_me"), [(0.41, 2.42, 0.41), (0.99, 0.148, 0.99), (0.99993, 1.4e-3, 1.0)], ids=str
)
def test_the_gradient_of_entropy_vanishes_where_that_of_me_does_not(p: float, of_em: float, of_me: float) -> None:
    dominant = math.log(p / (1 - p) * (VOCABULARY - 1))
    lengths = {}
    for name in ("em", "me"):
        logits = torch.zeros(1, 1, VOCABULARY, dtype=torch.float64)
        logits[..., 0] = dominant
        logits.requires_grad_(True)
        (gradient,) = torch.autograd.grad(METHODS[name].forget_loss(Forget(of_logits(logits)), {}).sum(), logits)
        lengths[name] = float(gradient.norm())
    assert lengths["em"] == pytest.approx(of_em, rel=0.01)
    assert lengths["me"] == pytest.approx(of_me, rel=0.01)


def test_the_entropy_of_equal_tokens_is_the_log_of_their_number() -> None:
    logits = torch.zeros(1, 1, 5, dtype=torch.float64)
    logits[..., 3:] = -math.inf
    logits.requires_grad_(True)
    loss = METHODS["em"].forget_loss(Forget(of_logits(logits)), {})
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.item() == pytest.approx(-math.log(3))
    assert gradient.abs().max().item() == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(("smoothing", "total"), [(0.5, 2.0), (0.0, 2.5), (1.0, 1.6)])
def test_adaptive_weights_of_losses_1_and_4(smoothing: float, total: float) -> None:
    """Weights 2/3 and 1/3 at lambda = .5; the mean at 0, the harmonic mean at 1."""
    method, values = METHODS["sfron"], {"smoothing": smoothing}
    forget = with_statistic(method, Forget(of_tokens([-0.5, -1.5], [-4.0, -4.0])), values)
    losses = method.forget_loss(forget, values)
    assert -losses.mean().item() == pytest.approx(total)
    if smoothing == 0.5:
        assert (-losses / torch.tensor([1.0, 4.0]) / 2).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_row_known_by_heart_has_a_bounded_weight() -> None:
    method, values = METHODS["sfron"], {"smoothing": 1.0}
    assert method.statistic is not None
    assert method.statistic(Forget(of_tokens([0.0], [-1.0])), values).tolist() == pytest.approx([1000.0, 1.0])


def test_lines_pass_through_the_target_model_and_the_trained_one() -> None:
    """alpha = 0 of UIPE is the trained model; one line holds averages, extrapolations and what is subtracted."""
    beyond, between, backwards = (METHODS[name].line for name in ("uipe", "ulmr", "task_arithmetic"))
    assert beyond is not None and between is not None and backwards is not None
    assert beyond(0.0, {"extrapolation": 2.0}) == 1.0
    assert beyond(1.0, {"extrapolation": -1.0}) == between(0.0, {"average": 1.0}) == 0.0
    assert between(1.0, {"average": 1.0}) == 1.0
    assert beyond(0.5, {"extrapolation": 0.8}) == backwards(1.0, {"scale": -1.4})
