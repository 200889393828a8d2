"""Rounding to 4 bits against a reference written weight by weight, and which layers it touches."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from tests.trainables.evaluation.small import fresh_model
from trainables.audit.quantize import BLOCK, CODES, Scheme, quantizable, quantize, restore, rounded

SCHEMES: tuple[Scheme, ...] = ("nf4", "rtn4")


@st.composite
def weights(draw: st.DrawFn) -> Tensor:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 40)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = 10.0 ** draw(st.integers(-6, 3))
    kept = torch.rand(shape, generator=generator) > draw(st.sampled_from([0.0, 0.5, 1.0]))
    return torch.randn(shape, generator=generator) * scale * kept


def by_hand(values: list[float], scheme: Scheme, block: int) -> list[float]:
    """Each weight compared with every code, in Python's float64."""
    found: list[float] = []
    for start in range(0, len(values), block):
        part = values[start : start + block]
        scale = max(map(abs, part))
        codes = [code * scale for code in CODES[scheme]]
        found += [min((abs(code - weight), code) for code in codes)[1] for weight in part]
    return found


def test_the_code_book_is_qloras() -> None:
    """Its quantiles, derived again: eight negative and nine positive places of equal probability from the same tail."""
    tail = 0.9677083
    positive = norm.ppf(np.linspace(tail, 0.5, 9)[:-1])
    negative = -norm.ppf(np.linspace(tail, 0.5, 8)[:-1])
    values = np.sort(np.concatenate([positive, [0.0], negative]))
    assert CODES["nf4"] == pytest.approx(tuple(values / values.max()), abs=1e-6)
    assert len(CODES["nf4"]) == 16
    assert np.array(CODES["nf4"], dtype=np.float32).tolist() == list(CODES["nf4"]), "the published values are float32"


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(weights=weights(), block=st.sampled_from([1, 3, 16, BLOCK]))
def test_equals_the_rounding_by_hand(scheme: Scheme, weights: Tensor, block: int) -> None:
    found = rounded(weights, scheme, block)
    assert found.shape == weights.shape
    expected = torch.tensor(by_hand(weights.flatten().tolist(), scheme, block), dtype=torch.float64)
    distance = (found.flatten().double() - weights.flatten().double()).abs()
    # Where two codes are equally near in float32, either may be taken: what counts is the distance.
    best = (expected - weights.flatten().double()).abs()
    assert torch.all(distance <= best + 1e-6 * weights.abs().max())


def in_blocks(weights: Tensor) -> Tensor:
    """(blocks, BLOCK), the last filled up with zeros."""
    return functional.pad(weights.flatten(), (0, -weights.numel() % BLOCK)).view(-1, BLOCK)


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(weights=weights())
def test_properties(scheme: Scheme, weights: Tensor) -> None:
    found = rounded(weights, scheme)
    assert torch.equal(rounded(found, scheme), found), "what is on the grid stays where it is"
    assert torch.equal(rounded(weights * 4, scheme), found * 4), "a power of two scales exactly"
    assert torch.all(found[weights == 0] == 0), "zeros stay zeros"
    before, after = in_blocks(weights), in_blocks(found)
    largest = before.abs().amax(1, keepdim=True)
    assert torch.equal(after.abs().amax(1, keepdim=True), largest), "the largest of a block is kept exactly"
    widest = max(b - a for a, b in itertools.pairwise(CODES[scheme]))
    assert torch.all((after - before).abs() <= largest * (widest / 2 * (1 + 1e-6))), "no weight moves by more than that"


@given(weights())
def test_round_to_nearest_is_odd(weights: Tensor) -> None:
    """Up to ties, which both signs send to the lower code."""
    there, back = rounded(weights, "rtn4"), -rounded(-weights, "rtn4")
    distances = (there - weights).abs(), (back - weights).abs()
    assert torch.allclose(*distances, rtol=1e-5, atol=float(weights.abs().max()) * 1e-6)


def test_nonfinite_weights_stay_visible() -> None:
    for broken in (math.nan, math.inf):
        block = torch.cat([torch.ones(BLOCK), torch.tensor([broken, 1.0])])
        found = rounded(block, "nf4")
        assert torch.all(found[:BLOCK] == 1), "the neighbouring blocks are unchanged"
        assert bool(found[BLOCK:].isnan().any()), "a broken block must not look healthy"


def test_linear_layers_change_and_nothing_else() -> None:
    model: Any = fresh_model()
    pristine: Any = fresh_model()
    assert model.lm_head.weight is model.model.embed_tokens.weight
    layers = {f"{name}.weight" for name, _, _ in quantizable(model)}
    assert quantize(model, pristine, "nf4") == len(layers) == 7 * model.config.num_hidden_layers
    for name, weight in model.named_parameters():
        original = pristine.get_parameter(name)
        expected = rounded(original, "nf4") if name in layers else original
        assert torch.equal(weight, expected), name
        assert torch.equal(weight, original) == (name not in layers), name
    quantize(model, pristine, "rtn4")
    some = model.model.layers[0].mlp.up_proj.weight
    assert torch.equal(some, rounded(pristine.model.layers[0].mlp.up_proj.weight, "rtn4")), "starts from the original"
    restore(model, pristine)
    assert all(torch.equal(weight, pristine.get_parameter(name)) for name, weight in model.named_parameters())


def test_transposed_layers_have_their_blocks_along_the_inputs() -> None:
    torch.manual_seed(0)
    model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=8, n_embd=64, n_layer=1, n_head=2))
    pristine = copy.deepcopy(model)
    assert quantize(model, pristine, "nf4") == 4
    found = model.transformer.h[0].mlp.c_fc.weight[:, 0]
    assert torch.equal(found, rounded(pristine.transformer.h[0].mlp.c_fc.weight[:, 0], "nf4"))
