"""Single kernels against float32 or float64: packed attention, log-probs, the update; rates of the device."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from benchmarks.gpu.run import Settings
from benchmarks.gpu.timing import at_most, distance, dtype_of, milliseconds
from benchmarks.steps.shapes import random_model
from trainables.batching.packing import pack
from trainables.batching.rows import Encoded
from trainables.model.compile import compile_layers
from trainables.model.log_probs import log_probs_of
from trainables.model.memory import RECIPES
from trainables.model.packed_attention import attention
from trainables.training.bf16_adamw import Bf16AdamW
from trainables.training.number_formats import join

BF16_TOLERANCE, FLOAT_TOLERANCE = 0.02, 1e-4


def rates(settings: Settings) -> dict[str, Any]:
    """What the device reaches: TFLOP/s of a square product, GB/s of a copy (read and written)."""
    size, numbers = (256, 1 << 16) if settings.tiny else (8192, 1 << 29)
    left, right = (torch.randn(size, size, device=settings.device).to(dtype_of(settings)) for _ in range(2))
    product = milliseconds(lambda: left @ right, settings)
    source = torch.zeros(numbers, dtype=torch.uint8, device=settings.device)
    target = torch.empty_like(source)
    copy = milliseconds(lambda: target.copy_(source), settings)
    return {"tflops": round(2 * size**3 / product / 1e9, 2), "copy_gb_per_second": round(2 * numbers / copy / 1e6, 1)}


def packed_attention(settings: Settings) -> dict[str, Any]:
    """Forward and backward pass over rows of many lengths, with shared keys, also compiled, against float32."""
    heads, keys, size = (4, 2, 16) if settings.tiny else (32, 8, 64)
    lengths = [(3 * i) % 11 + 1 for i in range(6)] if settings.tiny else [20 + (37 * i) % 170 for i in range(64)]
    rows = [Encoded(tuple(range(1, length + 1)), 1) for length in lengths]
    packing = pack(rows, settings.device, filled=True).packing
    total = int(packing.bounds[-1])
    torch.manual_seed(0)
    wide = [torch.randn(1, n, total, size, device=settings.device) for n in (heads, keys, keys)]
    away = torch.randn(1, total, heads, size, device=settings.device)
    module = torch.nn.Module()

    def packed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attention(module, query, key, value, None, packing=packing)[0]

    def by_row(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        wide_key, wide_value = (each.repeat_interleave(heads // keys, 1) for each in (key, value))
        parts = []
        for start, stop in pairwise(packing.bounds.tolist()):
            q, k, v = (each[:, :, start:stop] for each in (query, wide_key, wide_value))
            if stop > start:
                parts.append(scaled_dot_product_attention(q, k, v, is_causal=True))
        return torch.cat(parts, 2).transpose(1, 2)

    def both(function: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        states = [each.to(dtype, copy=True).requires_grad_() for each in wide]
        found = function(*states)
        found.backward(away.to(dtype))  # type: ignore[no-untyped-call]
        return [found.detach(), *(each.grad for each in states if each.grad is not None)]

    expected, dtype = both(by_row, torch.float32), dtype_of(settings)
    compiled = torch.compile(packed, backend="inductor" if settings.cuda else "eager")
    names = ("output", "query", "key", "value")
    found = {
        f"{way}_{name}": distance(mine, theirs)
        for way, function in (("eager", packed), ("compiled", compiled))
        for name, mine, theirs in zip(names, both(function, dtype), expected, strict=True)
    }
    figures: dict[str, Any] = {"kernel": packing.kernel, "tokens": total}
    figures |= at_most(BF16_TOLERANCE if settings.cuda else FLOAT_TOLERANCE, **found)
    return figures | {"milliseconds": milliseconds(lambda: both(packed, dtype), settings)}


def log_probs(settings: Settings) -> dict[str, Any]:
    """Values and gradient, compiled as in trials, against float64: the backward pass compiles in autograd's thread."""
    tokens, vocabulary = (64, 512) if settings.tiny else (3300, 128_256)
    if settings.cuda:
        compile_layers(random_model("toy", torch.device(settings.device), torch.bfloat16))  # this process compiles now
    torch.manual_seed(0)
    logits = (3 * torch.randn(tokens, vocabulary, device=settings.device)).to(dtype_of(settings)).requires_grad_()
    targets = torch.randint(0, vocabulary, (tokens,), device=settings.device)
    away = torch.randn(tokens, device=settings.device)

    def step() -> Tensor:
        logits.grad = None
        found = log_probs_of(logits, targets)
        found.backward(away)  # type: ignore[no-untyped-call]
        return found.detach()

    found = step()
    few = slice(0, 256)  # float64 of all would not fit
    exact = logits.detach()[few].double().requires_grad_()
    expected = log_softmax(exact, -1).gather(1, targets[few, None])[:, 0]
    expected.backward(away[few].double())  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert exact.grad is not None
    value, gradient = distance(found[few], expected.detach()), distance(logits.grad[few], exact.grad)
    figures: dict[str, Any] = at_most(1e-5, value=value) | at_most(BF16_TOLERANCE, gradient=gradient)
    return figures | {"milliseconds": milliseconds(step, settings)}


def update(settings: Settings) -> dict[str, Any]:
    """One AdamW update of many numbers by each memory recipe, compiled on GPUs, and by torch's fused one: GB/s.

    Bytes are those of weight, gradient and states, weights and states both read and written. The updated masters must
    be torch's; without masters, stochastic rounding moves the weights by as much on average.
    """
    numbers, device = (1 << 12 if settings.tiny else 1 << 28), settings.device
    if settings.cuda:
        compile_layers(
            random_model("toy", torch.device(device), torch.bfloat16)
        )  # the update is compiled where layers are
    figures: dict[str, Any] = {}
    for name, recipe in RECIPES.items():
        if recipe.recompute:
            continue  # the same update as without
        master, gradient = _drawn(numbers, device)
        weight = torch.nn.Parameter(master.bfloat16())
        expected = _by_adamw(weight.detach()[: 1 << 12].float(), gradient[: 1 << 12])
        moved = expected - weight.detach()[: 1 << 12].float()
        adam = Bf16AdamW([{"params": [weight]}], recipe, betas=(0.9, 0.95), weight_decay=0.5, clip=0.0)
        adam.param_groups[0]["lr"] = 1e-2

        def step(weight: torch.nn.Parameter = weight, adam: Bf16AdamW = adam, gradient: Tensor = gradient) -> None:
            weight.grad = gradient.bfloat16()
            adam.step()

        before = weight.detach()[: 1 << 12].float()
        step()
        after = _exact(weight, adam)[: 1 << 12]
        allowed = 1e-4 if name == "exact" else 0.02 if recipe.masters != "none" else 1.0
        figures |= at_most(allowed, **{f"{name}_distance": distance(after - before, moved)})
        took = milliseconds(step, settings)
        figures[f"{name}_gb_per_second"] = round((4 + 2 * recipe.optimizer_bytes + 2) * numbers / took / 1e6, 1)
    master, gradient = _drawn(numbers, device)
    parameter = torch.nn.Parameter(master)
    parameter.grad = gradient
    torch_adam = torch.optim.AdamW([parameter], lr=1e-2, fused=True)
    figures["torch_gb_per_second"] = round(28 * numbers / milliseconds(torch_adam.step, settings) / 1e6, 1)
    return figures


def _exact(weight: Tensor, adam: Bf16AdamW) -> Tensor:
    """The float32 value of the weights: the master, the weight with its remainder, or the weight alone."""
    master = adam.state[weight].get("master")
    if master is None:
        return weight.detach().float()
    return join(weight.detach(), master) if master.dtype == torch.int16 else master


def _drawn(numbers: int, device: str) -> tuple[Tensor, Tensor]:
    """Masters and gradients; those of a shorter pair are the first of a longer one."""
    every = torch.arange(numbers, device=device, dtype=torch.float32)
    return torch.sin(every), torch.cos(every).bfloat16().float()


def _by_adamw(master: Tensor, gradient: Tensor) -> Tensor:
    """The masters after torch's own step."""
    parameter = torch.nn.Parameter(master.clone())
    parameter.grad = gradient
    torch.optim.AdamW([parameter], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.5).step()
    return parameter.detach()


def decoding_attention(settings: Settings) -> dict[str, Any]:
    """One query token per row over a masked cache: ours against the library's, which may repeat keys."""
    rows, heads, keys, slots, size = (4, 4, 2, 32, 16) if settings.tiny else (64, 32, 8, 256, 64)
    states = (
        torch.randn(rows, n, m, size, device=settings.device) for n, m in ((heads, 1), (keys, slots), (keys, slots))
    )
    query, key, value = (each.to(dtype_of(settings)) for each in states)
    seen = (
        torch.arange(slots, device=settings.device)[None] < torch.arange(1, rows + 1, device=settings.device)[:, None]
    )
    mask, module = seen[:, None, None], torch.nn.Module()
    module.num_key_value_groups = heads // keys  # type: ignore[assignment]
    ours = milliseconds(lambda: attention(module, query, key, value, mask), settings)
    library = milliseconds(lambda: sdpa_attention_forward(module, query, key, value, mask), settings)
    found = distance(
        attention(module, query, key, value, mask)[0], sdpa_attention_forward(module, query, key, value, mask)[0]
    )
    return {"ours_ms": ours, "library_ms": library, **at_most(BF16_TOLERANCE, difference=found)}
