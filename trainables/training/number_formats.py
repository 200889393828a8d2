"""Number formats with fewer bits for an optimizer's state: float32 in two halves, stochastic rounding, 8-bit blocks.

Pure functions of tensors of any shape; integer arithmetic on the bits of float32, so that every device gives the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.model.memory import BLOCK

_HALF = 16  # bits of a float32 that bfloat16 keeps
_STEPS = 16  # values per octave of the 8-bit formats
_STEP_BITS, _MANTISSA_BITS, _BIAS = 4, 23, 127
_LARGEST = (2 * _STEPS - 1) / (2 * _STEPS)  # of the values below 1 that have a code
_SIGN = 128
_SIGNED_OCTAVES, _POSITIVE_OCTAVES = 7, 15  # normal ones; the smallest of them has another _STEPS values below it
_SMALLEST = 2.0**-120


def split(values: Tensor) -> tuple[Tensor, Tensor]:
    """Finite float32 as the nearest bfloat16 (ties away from 0), and the int16 from which `join` restores all bits."""
    bits = values.view(torch.int32)
    high = (bits + (1 << (_HALF - 1))) >> _HALF
    return high.to(torch.int16).view(torch.bfloat16), (bits - (high << _HALF)).to(torch.int16)


def join(high: Tensor, low: Tensor) -> Tensor:
    """The float32 that `split` was given."""
    return ((high.view(torch.int16).to(torch.int32) << _HALF) + low.to(torch.int32)).view(torch.float32)


def round_stochastically(values: Tensor, noise: Tensor) -> Tensor:
    """bfloat16 of finite float32: up or down, so that the mean over all `noise` (int32 in [0, 65536)) is the value."""
    return ((values.view(torch.int32) + noise) >> _HALF).to(torch.int16).view(torch.bfloat16)


def noise(like: Tensor, key: Tensor, first: Tensor) -> Tensor:
    """int32 in [0, 65536) of the shape of `like`: a hash of `key` and the place of each number, counted from `first`.

    `key`, `first`: int64 below 2^32, without dimensions. The hash is Thomas Mueller's for 32-bit integers.
    """
    place = torch.arange(like.numel(), device=like.device).view(like.shape) + first
    mixed = (place ^ key) & 0xFFFFFFFF
    for _ in range(2):
        mixed = (((mixed >> 16) ^ mixed) * 0x45D9F3B) & 0xFFFFFFFF
    return (((mixed >> 16) ^ mixed) & 0xFFFF).to(torch.int32)


def pack(rows: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    """(blocks, BLOCK) float32 as uint8 codes and a float32 scale per block, (blocks, 1).

    A code is a small float: its sign, if `signed`, then a power of two and 16 steps up to the next; values below the
    smallest power (2^-7 of the block's largest if `signed`, else 2^-15) have equal steps down to 0. The nearest code is
    taken. Positive numbers of an unsigned block never become 0, because the update divides by their roots.
    """
    assert rows.shape[1] == BLOCK
    size = rows.abs()
    scale = (size.amax(1, keepdim=True) / _LARGEST).clamp(min=_SMALLEST)
    share = size / scale
    lowest = _BIAS - (_SIGNED_OCTAVES if signed else _POSITIVE_OCTAVES)
    power = (share.view(torch.int32) >> _MANTISSA_BITS).clamp(min=lowest)
    step = _power_of_two(power - _STEP_BITS)
    code = (share / step + 0.5).to(torch.int32) + _STEPS * (power - lowest)
    if signed:
        return (code.clamp(max=_SIGN - 1) + _SIGN * (rows < 0)).to(torch.uint8), scale
    return torch.where(size > 0, code.clamp(1, 2 * _SIGN - 1), code).to(torch.uint8), scale


def unpack(codes: Tensor, scale: Tensor, signed: bool) -> Tensor:
    """(blocks, BLOCK) float32 of what `pack` returned."""
    code = codes.to(torch.int32)
    size = code & (_SIGN - 1) if signed else code
    lowest = _BIAS - (_SIGNED_OCTAVES if signed else _POSITIVE_OCTAVES)
    octave = (size // _STEPS - 1).clamp(min=0)
    value = (size - _STEPS * octave) * _power_of_two(octave + lowest - _STEP_BITS) * scale
    return torch.where(code >= _SIGN, -value, value) if signed else value


def _power_of_two(exponent: Tensor) -> Tensor:
    """2 ** (exponent - 127), exactly."""
    return (exponent << _MANTISSA_BITS).view(torch.float32)
