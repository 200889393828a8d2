"""Log-probabilities of chosen tokens: values and gradients against float64, in every chunking."""

from __future__ import annotations

import shutil
from functools import cache, partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.utils import counters

from trainables.model import compile, log_probs
from trainables.model.log_probs import log_probs_of


def reference(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Values, and the gradient of their weighted sum, in float64."""
    exact = logits.detach().double().requires_grad_()
    found = exact.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    (found * weights.double()).sum().backward()  # type: ignore[no-untyped-call]
    assert exact.grad is not None
    return found.detach(), exact.grad


@given(
    tokens=st.integers(1, 9),
    vocabulary=st.integers(1, 30),
    chunk=st.integers(1, 60),
    size=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_values_and_gradients_equal_those_in_float64(
    tokens: int, vocabulary: int, chunk: int, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (size * torch.randn(tokens, vocabulary, generator=generator)).requires_grad_()
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator)
    weights = torch.randn(tokens, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_probs, "_CHUNK", chunk)
        found = log_probs_of(logits, targets)
        (found * weights).sum().backward()  # type: ignore[no-untyped-call]
    values, gradient = reference(logits, targets, weights)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), values, rtol=1e-5, atol=1e-5)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.double(), gradient, rtol=1e-4, atol=1e-5)


def test_half_precision_logits_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    logits = (4 * torch.randn(5, 50_000)).bfloat16().requires_grad_()
    targets = torch.arange(5)
    found = log_probs_of(logits, targets)
    values, _ = reference(logits, targets, torch.ones(5))
    torch.testing.assert_close(found.double(), values, rtol=1e-5, atol=1e-4)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.dtype == torch.bfloat16


def test_no_tokens_give_no_values() -> None:
    logits = torch.zeros(0, 7, requires_grad=True)
    found = log_probs_of(logits, torch.zeros(0, dtype=torch.int64))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert found.shape == (0,)


def test_logits_that_are_not_finite_give_no_finite_values() -> None:
    logits = torch.tensor([[float("nan"), 0.0], [float("inf"), 0.0]])
    assert not log_probs_of(logits, torch.tensor([0, 1])).isfinite().any()


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=[pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ on a CPU")],
        ),
    ],
)
def test_compiled_results_are_the_same_with_one_compilation_for_all_lengths(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(log_probs, "compiles", lambda device: True)
    monkeypatch.setattr(compile, "_compiled", cache(partial(torch.compile, backend=backend)))
    for tokens in (5, 9, 17, 6):
        torch.manual_seed(tokens)
        logits = (4 * torch.randn(tokens, 300)).bfloat16().requires_grad_()
        targets, weights = torch.randint(0, 300, (tokens,)), torch.randn(tokens)
        log_probs_of(logits.detach(), targets)  # compiles nothing
        found = log_probs_of(logits, targets)
        (found * weights).sum().backward()  # type: ignore[no-untyped-call]
        values, gradient = reference(logits, targets, weights)
        torch.testing.assert_close(found.double(), values, rtol=1e-5, atol=1e-5)
        assert logits.grad is not None and logits.grad.dtype == torch.bfloat16
        torch.testing.assert_close(logits.grad.double(), gradient, rtol=1e-2, atol=1e-5)
        assert counters["stats"]["unique_graphs"] == 2  # forward and backward


def test_functions_are_compiled_on_gpus_in_processes_that_compile_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile, "_compiling", set())
    assert not compile.compiles(torch.device("cuda"))
    monkeypatch.setattr(compile, "_compiling", {True})
    assert compile.compiles(torch.device("cuda"))
    assert not compile.compiles(torch.device("cpu"))
