"""Each loss against its equation: an independent float64 reference from raw logits, gradients, limits, invariants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from trainables.methods.ga import GA
from trainables.methods.method import log_sigmoid
from trainables.methods.npo import NPO
from trainables.methods.retain import kl, nll
from trainables.scores import Scores

Array = NDArray[np.float64]
ROWS, POSITIONS, VOCABULARY = 3, 5, 7
betas = st.floats(0.01, 1.0)
seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Case:
    """Random logits of model and reference, float64, with answers of 1 to all positions that start anywhere."""

    logits: Array
    reference: Array
    targets: NDArray[np.int64]
    mask: NDArray[np.bool_]


def case(seed: int, scale: float = 2.0) -> Case:
    rng = np.random.default_rng(seed)
    shape = (ROWS, POSITIONS, VOCABULARY)
    start = rng.integers(0, POSITIONS, ROWS)
    stop = rng.integers(start + 1, POSITIONS + 1)
    at = np.arange(POSITIONS)
    mask = (at >= start[:, None]) & (at < stop[:, None])
    targets = rng.integers(0, VOCABULARY, (ROWS, POSITIONS))
    return Case(rng.normal(0, scale, shape), rng.normal(0, scale, shape), targets, mask)


def scores(logits: Tensor, given: Case) -> Scores:
    """What `trainables.scores.score` makes of these logits."""
    targets = torch.from_numpy(given.targets)
    mask = torch.from_numpy(given.mask)
    log_probs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return Scores(log_probs * mask, mask, logits)


def model_and_reference(given: Case) -> tuple[Tensor, Scores, Scores]:
    logits = torch.from_numpy(given.logits).requires_grad_()
    return logits, scores(logits, given), scores(torch.from_numpy(given.reference), given)


def npo(model: Scores, reference: Tensor, beta: float) -> Tensor:
    return NPO.forget_loss(model, reference, {"beta": beta})


# The equations once more, in numpy, from raw logits, row by row and token by token.


def numpy_sequence(logits: Array, given: Case) -> Array:
    rows = np.zeros(ROWS)
    for i, t in zip(*np.nonzero(given.mask), strict=True):
        p = np.exp(logits[i, t]) / np.exp(logits[i, t]).sum()
        rows[i] += np.log(p[given.targets[i, t]])
    return rows


def numpy_npo(given: Case, beta: float) -> Array:
    ratio = np.exp(numpy_sequence(given.logits, given) - numpy_sequence(given.reference, given))
    value: Array = -2 / beta * np.log(1 / (1 + ratio**beta))
    return value


def numpy_kl(given: Case) -> Array:
    rows = np.zeros(ROWS)
    for i, t in zip(*np.nonzero(given.mask), strict=True):
        p = np.exp(given.logits[i, t]) / np.exp(given.logits[i, t]).sum()
        q = np.exp(given.reference[i, t]) / np.exp(given.reference[i, t]).sum()
        rows[i] += (q * np.log(q / p)).sum()
    return rows


@given(seeds, betas)
def test_losses_agree_with_the_equations(seed: int, beta: float) -> None:
    data = case(seed)
    _, model, reference = model_and_reference(data)
    sequence = numpy_sequence(data.logits, data)
    expected = {
        "ga": (GA.forget_loss(model, None, {}), sequence),
        "nll": (nll(model), -sequence),
        "kl": (kl(model, reference), numpy_kl(data)),
        "npo": (npo(model, reference.sequence, beta), numpy_npo(data, beta)),
    }
    for name, (value, equation) in expected.items():
        np.testing.assert_allclose(value.detach().numpy(), equation, rtol=1e-9, atol=1e-10, err_msg=name)


@given(seeds, betas)
def test_npo_at_the_reference(seed: int, beta: float) -> None:
    """Value (2 / beta) ln 2, and the gradient of ascent on the mean of the per-sequence sums."""
    logits, model, _ = model_and_reference(case(seed))
    loss = npo(model, model.sequence.detach(), beta)
    torch.testing.assert_close(loss, torch.full_like(loss, 2 / beta * math.log(2)), rtol=1e-14, atol=0)
    (gradient,) = torch.autograd.grad(loss.mean(), logits, retain_graph=True)
    (ascent,) = torch.autograd.grad(GA.forget_loss(model, None, {}).mean(), logits)
    torch.testing.assert_close(gradient, ascent, rtol=1e-12, atol=1e-14)


def test_npo_at_the_reference_with_the_papers_beta() -> None:
    _, model, _ = model_and_reference(case(0))
    assert npo(model, model.sequence.detach(), 0.1)[0].item() == pytest.approx(13.8629, abs=1e-4)


@given(seeds, betas)
def test_npo_gradient_is_ascent_weighted_by_w(seed: int, beta: float) -> None:
    data = case(seed)
    logits, model, reference = model_and_reference(data)
    p = np.exp(numpy_sequence(data.logits, data))
    p_ref = np.exp(numpy_sequence(data.reference, data))
    weight = torch.from_numpy(2 * p**beta / (p**beta + p_ref**beta))
    loss = npo(model, reference.sequence, beta).mean()
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (ascent,) = torch.autograd.grad((weight * model.sequence).mean(), logits)
    torch.testing.assert_close(gradient, ascent, rtol=1e-9, atol=1e-12)


@given(seeds)
def test_npo_tends_to_gradient_ascent_as_beta_vanishes(seed: int) -> None:
    logits, model, reference = model_and_reference(case(seed))
    beta = 1e-6
    loss = npo(model, reference.sequence, beta) - 2 / beta * math.log(2)
    log_ratio = model.sequence - reference.sequence
    # The next term of the expansion is beta * log_ratio^2 / 4.
    torch.testing.assert_close(loss, log_ratio, rtol=1e-3, atol=1e-3)
    (gradient,) = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
    (ascent,) = torch.autograd.grad(model.sequence.sum(), logits)
    torch.testing.assert_close(gradient, ascent, rtol=1e-3, atol=1e-3)


def one_row(log_p: float) -> Scores:
    return Scores(torch.tensor([[log_p]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool))


@given(betas, st.floats(-200, 0), st.floats(-200, 0), st.floats(-200, 0))
def test_npo_rises_with_the_probability_of_what_must_go(beta: float, reference: float, a: float, b: float) -> None:
    table = torch.tensor([reference], dtype=torch.float64)
    low, high = (npo(one_row(x), table, beta).item() for x in sorted((a, b)))
    assert 0 <= low <= high


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("log_p", [-1e4, -300.0, 0.0])
def test_npo_is_finite_far_from_the_reference(beta: float, log_p: float) -> None:
    """In float32, where sigmoid itself has long become 0 or 1."""
    token_log_probs = torch.tensor([[log_p]], requires_grad=True)
    loss = npo(Scores(token_log_probs, torch.ones(1, 1, dtype=torch.bool)), torch.tensor([-1000.0]), beta)
    (gradient,) = torch.autograd.grad(loss.sum(), token_log_probs)
    assert loss.isfinite().all()
    assert 0 <= gradient.item() <= 2


@given(st.floats(-700, 700))
def test_log_sigmoid(x: float) -> None:
    expected = -np.logaddexp(0.0, -x)
    assert log_sigmoid(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(seeds, st.floats(0.01, 20))
def test_kl_is_positive_and_zero_with_zero_gradient_at_the_reference(seed: int, scale: float) -> None:
    data = case(seed, scale)
    logits, model, reference = model_and_reference(data)
    assert (kl(model, reference) > 0).all()
    at_reference = kl(model, model)
    torch.testing.assert_close(at_reference, torch.zeros_like(at_reference), rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(at_reference.sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def every_loss(logits: Tensor, reference_logits: Tensor, given: Case) -> dict[str, Tensor]:
    model, reference = scores(logits, given), scores(reference_logits, given)
    return {
        "ga": GA.forget_loss(model, None, {}),
        "npo": npo(model, reference.sequence, 0.1),
        "nll": nll(model),
        "kl": kl(model, reference),
    }


@pytest.mark.parametrize("name", ["ga", "npo", "nll", "kl"])
def test_gradcheck(name: str) -> None:
    data = case(7)
    reference = torch.from_numpy(data.reference)

    def loss(logits: Tensor) -> Tensor:
        return every_loss(logits, reference, data)[name]

    assert torch.autograd.gradcheck(loss, torch.from_numpy(data.logits).requires_grad_())


@given(seeds)
def test_masked_positions_have_no_influence(seed: int) -> None:
    """Neither on a value nor on a gradient, whatever model and reference say there."""
    data = case(seed)
    noise = torch.from_numpy(np.random.default_rng(seed).normal(0, 50, data.logits.shape))
    outside = torch.from_numpy(~data.mask).unsqueeze(-1)
    results: list[dict[str, Any]] = []
    for shift in (torch.zeros_like(noise), noise * outside):
        logits = (torch.from_numpy(data.logits) + shift).requires_grad_()
        losses = every_loss(logits, torch.from_numpy(data.reference) - shift, data)
        gradients = {k: torch.autograd.grad(v.sum(), logits, retain_graph=True)[0] for k, v in losses.items()}
        assert all(not gradient[outside.squeeze(-1)].any() for gradient in gradients.values())
        results.append({"losses": losses, "gradients": gradients})
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_no_gradient_reaches_the_reference() -> None:
    data = case(1)
    reference_logits = torch.from_numpy(data.reference).requires_grad_()
    losses = every_loss(torch.from_numpy(data.logits).requires_grad_(), reference_logits, data)
    for name in ("npo", "kl"):
        (gradient,) = torch.autograd.grad(losses[name].sum(), reference_logits, allow_unused=True)
        assert gradient is None, name


def test_a_reference_may_come_as_scores() -> None:
    _, model, reference = model_and_reference(case(2))
    by_table = NPO.forget_loss(model, reference.sequence, {"beta": 0.3})
    torch.testing.assert_close(NPO.forget_loss(model, reference, {"beta": 0.3}), by_table, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(), (1,), (ROWS, 1), (ROWS + 1,)])
def test_a_reference_that_would_broadcast_is_refused(shape: tuple[int, ...]) -> None:
    _, model, _ = model_and_reference(case(3))
    with pytest.raises(ValueError, match=r"must be \(3,\)"):
        npo(model, torch.zeros(shape), 0.1)


def test_what_is_missing_is_said() -> None:
    _, model, reference = model_and_reference(case(4))
    with pytest.raises(ValueError, match="reference table"):
        NPO.forget_loss(model, None, {"beta": 0.1})
    with pytest.raises(ValueError, match="keep_logits=True"):
        kl(model, Scores(reference.token_log_probs, reference.mask))
