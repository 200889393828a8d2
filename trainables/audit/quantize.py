"""Weights as 4-bit storage would give them back: rounded to a code book, block by block. No packed kernel is needed.

Unlearning with small updates can vanish in the rounding: weights that moved by less than a bin fall back to where they
came from (arXiv 2410.16454). Which model is rounded, and what is measured then, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

Scheme: TypeAlias = Literal["nf4", "rtn4"]

BLOCK = 64
"""Weights that share a scale: the published block size of NF4 (QLoRA, arXiv 2305.14314)."""

CODES: dict[Scheme, tuple[float, ...]] = {
    # QLoRA's NormalFloat: quantiles of the normal distribution scaled to [-1, 1], with an exact zero; float32 values.
    "nf4": (
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ),
    # Symmetric round-to-nearest on 15 even levels, as plain int4 kernels have it: the 16th level is not used.
    "rtn4": tuple(level / 7 for level in range(-7, 8)),
}


def rounded(weights: Tensor, scheme: Scheme, block: int = BLOCK) -> Tensor:
    """The weights after a trip through 4 bits, in their own shape and type; computed in float32.

    Every `block` neighbours in memory order (the last block may be shorter) are divided by their largest magnitude, set
    to the nearest code and multiplied back. A value half-way between two codes goes to the lower one, as in the
    published kernels. A block of zeros stays zeros; one with a NaN or an infinity becomes NaN.
    """
    flat = weights.detach().float().flatten()
    blocks = functional.pad(flat, (0, -flat.numel() % block)).view(-1, block)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    codes = torch.tensor(CODES[scheme], dtype=torch.float32, device=flat.device)
    midpoints = (codes[1:] + codes[:-1]) / 2
    # A block of zeros has no scale; its zeros are a code as they are.
    units = blocks / torch.where(scale == 0, 1.0, scale)
    nearest = torch.bucketize(units, midpoints)  # NaN lands on the last code, and the scale is NaN
    restored = codes[nearest] * torch.where(units.isnan(), torch.nan, scale)
    return restored.flatten()[: flat.numel()].view(weights.shape).to(weights.dtype)


def quantizable(model: Any) -> Iterator[tuple[str, Tensor, bool]]:
    """(name, weight, whether it is stored transposed) of every linear layer that 4-bit loading would quantise.

    Embeddings and the LM head stay as they are, tied or not: a linear layer that shares an embedding's weight is left
    out by the weight, not by its name. Expert weights that are no linear layers of their own are left out as well.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not head and id(module.weight) not in embeddings:
            yield name, module.weight, isinstance(module, Conv1D)


@torch.no_grad()
def quantize(model: Any, pristine: Any, scheme: Scheme) -> int:
    """Set the linear layers of `model` to the rounded weights of `pristine`; returns how many there are.

    The two have the same modules; precision and device may differ, and the rounding starts from `pristine`'s.
    """
    originals = {name: weight for name, weight, _ in quantizable(pristine)}
    count = 0
    for name, weight, transposed in quantizable(model):
        original = originals[name].to(weight.device)
        # Blocks run along the inputs of a layer; GPT-2's layers store them the other way around.
        weight.copy_(rounded(original.T, scheme).T if transposed else rounded(original, scheme))
        count += 1
    return count


@torch.no_grad()
def restore(model: Any, pristine: Any) -> None:
    """Undo `quantize`."""
    for (_, weight, _), (_, original, _) in zip(quantizable(model), quantizable(pristine), strict=True):
        weight.copy_(original)
