"""Weights as 4-bit storage would return them: rounded to a code book, block by block. Needs no packed kernel.

Unlearning with small updates can vanish in the rounding: weights that moved by less than a bin fall back to their old
values (arXiv 2410.16454).
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
    # QLoRA's NormalFloat: quantiles of the normal distribution, scaled to [-1, 1], with an exact zero; in float32.
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
    # Symmetric round-to-nearest on 15 even levels, as in plain int4 kernels: the 16th level is not used.
    "rtn4": tuple(level / 7 for level in range(-7, 8)),
}


def rounded(weights: Tensor, scheme: Scheme, block: int = BLOCK) -> Tensor:
    """The weights rounded to 4 bits and back, in their own shape and type; computed in float32.

    Every `block` neighbours in memory order (the last block may be shorter) are divided by their largest magnitude,
    rounded to the nearest code and multiplied back. Halfway between two codes the lower one is taken, as in the
    published kernels. A block of zeros stays zero; one with a NaN or an infinity becomes NaN.
    """
    flat = weights.detach().float().flatten()
    blocks = functional.pad(flat, (0, -flat.numel() % block)).view(-1, block)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    codes = torch.tensor(CODES[scheme], dtype=torch.float32, device=flat.device)
    midpoints = (codes[1:] + codes[:-1]) / 2
    # A block of zeros has scale 0; 0 is a code itself.
    units = blocks / torch.where(scale == 0, 1.0, scale)
    nearest = torch.bucketize(units, midpoints)  # NaN gets the last code, but then the scale is NaN
    restored = codes[nearest] * torch.where(units.isnan(), torch.nan, scale)
    return restored.flatten()[: flat.numel()].view(weights.shape).to(weights.dtype)


def quantizable(model: Any) -> Iterator[tuple[str, Tensor, bool]]:
    """(name, weight, whether it is stored transposed) of every linear layer that 4-bit loading would quantise.

    Embeddings and the LM head are left out, tied or not: layers that share an embedding's weight are recognised by the
    weight, not by the name. Expert weights that are not linear layers themselves are left out as well.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not head and id(module.weight) not in embeddings:
            yield name, module.weight, isinstance(module, Conv1D)


@torch.no_grad()
def quantize(model: Any, pristine: Any, scheme: Scheme) -> int:
    """Set the linear layers of `model` to the rounded weights of `pristine`. Returns their number.

    Both must have the same modules; precision and device may differ.
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
