"""Halves of float32, stochastic rounding and 8-bit blocks: what they keep, for numbers of all sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainables.model.memory import BLOCK
from trainables.training.number_formats import join, noise, pack, round_stochastically, split, unpack


def numbers(rows: int = 200, seed: int = 0) -> Tensor:
    """(rows, BLOCK) float32 whose rows have lengths from 1e-18 to 1e9."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, BLOCK, generator=generator) * torch.logspace(-18, 9, rows)[:, None]


def zero() -> Tensor:
    return torch.zeros((), dtype=torch.int64)


def test_two_halves_are_the_number_and_the_first_is_the_nearest_bfloat16() -> None:
    values = torch.cat([numbers().flatten(), torch.tensor([0.0, -0.0, 1.0, -1.0, 1.00390625])])
    high, low = split(values)
    assert torch.equal(join(high, low).view(torch.int32), values.view(torch.int32))
    nearest = (values - values.bfloat16().float()).abs()
    assert torch.equal((values - high.float()).abs(), nearest)


def test_stochastic_rounding_is_right_on_average_and_leaves_what_fits() -> None:
    every = torch.arange(65536, dtype=torch.int32)
    for value in (1.001, -1.001, 3e-7, -0.02345):
        rounded = round_stochastically(torch.full((65536,), value), every).double()
        assert float(rounded.mean()) == pytest.approx(torch.tensor(value).double().item(), rel=1e-6)
        assert len(set(rounded.tolist())) == 2
    fitting = numbers().bfloat16()
    assert torch.equal(round_stochastically(fitting.float(), noise(fitting, zero() + 7, zero())), fitting)


def test_noise_is_even_differs_by_key_and_does_not_depend_on_how_a_tensor_is_cut() -> None:
    whole = torch.empty(512, BLOCK)
    found = noise(whole, zero() + 5, zero())
    assert int(found.min()) >= 0 and int(found.max()) < 65536
    assert float(found.float().mean()) == pytest.approx(32767.5, rel=0.01)
    assert torch.equal(found[200:], noise(whole[200:], zero() + 5, zero() + 200 * BLOCK))
    other = noise(whole, zero() + 6, zero())
    correlation = torch.corrcoef(torch.stack([found.flatten(), other.flatten()]).double())[0, 1]
    assert abs(float(correlation)) < 0.02


@pytest.mark.parametrize("signed", [True, False])
def test_eight_bits_keep_every_number_near_and_the_largest_almost_exactly(signed: bool) -> None:
    values = numbers() if signed else numbers().square().clamp(min=1e-30)
    codes, scale = pack(values, signed)
    found = unpack(codes, scale, signed)
    assert codes.dtype == torch.uint8 and scale.shape == (len(values), 1)
    largest = values.abs().amax(1, keepdim=True)
    smallest = largest * (32 / 31) * 2.0 ** (-7 - 4 if signed else -15 - 4)  # step
    near = torch.maximum(values.abs() / 32, smallest / 2 if signed else smallest)
    assert bool(((found - values).abs() <= near * 1.0001).all())
    assert torch.equal(found.abs().amax(1), found.gather(1, values.abs().argmax(1, keepdim=True)).abs()[:, 0])
    assert torch.equal(unpack(*pack(found, signed), signed), found)
    if not signed:
        assert bool((found > 0).all())


@pytest.mark.parametrize("signed", [True, False])
def test_a_block_of_zeros_stays_zero(signed: bool) -> None:
    assert not unpack(*pack(torch.zeros(2, BLOCK), signed), signed).any()
